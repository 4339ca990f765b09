"""Accept: cases in, one Redis call per tenant, one transaction, answers out. A 202 means it is in PostgreSQL.

`look_up` asks what can be asked before the transaction; `commit` does the rest in one, and may be tried again;
`peek` asks the same gates and leaves nothing behind.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import structlog

from domain.errors import RequestRefused
from domain.ids import notification_id
from domain.lanes import Channel, Lane
from domain.reasons import Reason
from fanout import limits
from fanout.answers import answer
from fanout.cases import Case, Item
from fanout.gates import words
from fanout.gates.dedupe import pass_dedupe
from fanout.gates.idempotency import pass_idempotency
from fanout.gates.recipient import Loaded, find_missing, know_recipients
from fanout.gates.verdicts import Judge, Told
from fanout.plan import plan
from fanout.quick import enter_quickly, may_be_quick
from fanout.records import records
from plumbing import push_metrics
from plumbing.cache import Cache
from plumbing.database import borrow, postgres_errors
from plumbing.failpoints import Failpoint, reach
from plumbing.limiter import Limiter
from plumbing.secrets import Seal
from preferences import cache as recipient_cache
from preferences.categories import Categories
from preferences.model import Category, KnownRecipient
from templates.catalog import Catalog
from tracking import ledger
from tracking.rows import OutboxRow

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Intake:
    """What accept works with."""

    pool: asyncpg.Pool
    cache: Cache
    limiter: Limiter
    seal: Seal
    catalog: Catalog
    categories: Categories
    policy: limits.Policy


@dataclass(slots=True)
class Batch:
    """Cases that are committed together, and what was looked up for them: recipients are `cached` as Redis or a
    question before the transaction had them."""

    cases: list[Case]
    spent: limits.Spent
    cached: dict[Case, KnownRecipient]


@dataclass(slots=True)
class Committed:
    """What was recorded and what is left to do: envelopes to publish beside the answer, cases that wait for a running
    twin, recipients to be cached."""

    recorded: list[Case]
    at_once: list[OutboxRow]
    waiting: list[Case]
    loaded: list[Loaded]

    def tell(self, spent: limits.Spent) -> None:
        """Answer the recorded cases; only after COMMIT."""
        for case in self.recorded:
            if case.is_open:
                case.answer.set_result(answer(case, spent.by_key.get(case)))


async def look_up(intake: Intake, cases: Sequence[Case], *, free_of_charge: bool = False) -> Batch:
    """Pass the gates that need no transaction: words and key limit. The refused ones are answered."""
    categories: dict[tuple[UUID, str], Category | None] = {}
    for case in cases:
        try:
            await _read_words(intake, case, categories)
        except RequestRefused as refusal:
            case.refuse(refusal)
    worded = [case for case in cases if case.is_open]
    spent, cached = await limits.ask(intake.limiter, intake.policy, worded, free_of_charge=free_of_charge)
    return Batch([case for case in worded if case.is_open], spent, cached)


async def _read_words(intake: Intake, case: Case, categories: dict[tuple[UUID, str], Category | None]) -> None:
    request = case.request
    case.message = words.pass_template(request, intake.catalog)
    name = words.choose_category(request, case.message)
    which = case.tenant_id, name
    if which not in categories:
        categories[which] = await intake.categories.get(intake.pool, case.tenant_id, name)
    category = categories[which]
    if category is None:
        raise words.refuse("unknown_category", "/category", f"there is no category {name!r}")
    case.category = category
    case.channels = words.choose_channels(request, category, case.message)
    words.pass_data(request, case.channels, case.message)


async def commit(
    intake: Intake, batch: Batch, *, now: datetime, inline: frozenset[Lane], one_by_one: bool = False
) -> Committed:
    """Write the batch in one transaction and answer its cases: quickly where that can be tried, else the long way.

    `inline` names the lanes published beside the answer. With `one_by_one` each case has a savepoint of its own, so
    that only the guilty one errs. Raises Unavailable, or asyncpg's own error about the data, with nothing written and
    nobody answered.
    """
    async with borrow(intake.pool) as conn:
        committed = None if one_by_one else await _commit_quickly(intake, conn, batch, now=now, inline=inline)
        if committed is None:
            async with conn.transaction():
                step = enter_each if one_by_one else enter
                committed = await step(intake, conn, batch, batch.cases, now=now, inline=inline)
                reach(Failpoint.ACCEPT_BEFORE_COMMIT)
    reach(Failpoint.ACCEPT_AFTER_COMMIT)
    committed.tell(batch.spent)
    count_expired(committed.recorded)
    return committed


async def _commit_quickly(
    intake: Intake, conn: asyncpg.Connection, batch: Batch, *, now: datetime, inline: frozenset[Lane]
) -> Committed | None:
    """None: nothing was written, because somebody is not known, or something no longer as it was read."""
    if not may_be_quick(batch.cases):
        return None
    found, loaded = await find_missing(conn, intake.seal, batch.cases, batch.cached)
    batch.cached |= found
    if any(case not in batch.cached for case in batch.cases):
        return None
    reach(Failpoint.ACCEPT_BEFORE_COMMIT)
    at_once = await enter_quickly(conn, batch.cases, batch.cached, batch.spent, now=now, inline=inline)
    return None if at_once is None else Committed(batch.cases, at_once, [], [loaded])


def count_expired(cases: Iterable[Case]) -> None:
    """Count the pushes that were too late when they came; only after COMMIT."""
    late = sum(each.channel is Channel.PUSH and each.reason is Reason.EXPIRED for c in cases for each in c.deliveries)
    if late:
        push_metrics.EXPIRED.labels(where=push_metrics.ExpiredWhere.INGEST).inc(late)


async def enter(
    intake: Intake,
    conn: asyncpg.Connection,
    batch: Batch,
    cases: Sequence[Case],
    *,
    now: datetime,
    inline: frozenset[Lane],
) -> Committed:
    """Pass the gates that need the transaction, and record what came through. Nobody is told before the commit."""
    fresh, waiting = await pass_idempotency(conn, cases)
    fresh, loaded = await know_recipients(conn, intake.seal, fresh, batch.cached)
    judge = Judge(now)
    for case in fresh:
        judge(case, batch.spent.told(case))
        plan(case)
    await pass_dedupe(conn, fresh)
    rows, at_once = records(fresh, now=now, inline=inline)
    await ledger.record(conn, rows)
    return Committed(fresh, at_once, waiting, [loaded])


async def enter_each(
    intake: Intake,
    conn: asyncpg.Connection,
    batch: Batch,
    cases: Sequence[Case],
    *,
    now: datetime,
    inline: frozenset[Lane],
) -> Committed:
    """`enter` for one case after the other, each in a savepoint: who brings data that cannot be kept errs alone."""
    committed = Committed([], [], [], [])
    for case in cases:
        try:
            async with conn.transaction():
                one = await enter(intake, conn, batch, [case], now=now, inline=inline)
        except asyncpg.DataError as error:
            log.warning("request.unfit", case=str(case.id), error=type(error).__name__)
            case.refuse(RequestRefused("data_rejected", "this request holds a value that cannot be kept"))
        else:
            committed.recorded += one.recorded
            committed.at_once += one.at_once
            committed.waiting += one.waiting
            committed.loaded += one.loaded
    return committed


async def remember(intake: Intake, committed: Committed) -> None:
    """Cache the recipients that had to be loaded; only after COMMIT."""
    for loaded in committed.loaded:
        for tenant, known in loaded.items():
            await recipient_cache.put(intake.cache, tenant, known)


async def peek(intake: Intake, item: Item, *, now: datetime, known: KnownRecipient | None = None) -> Case:
    """Ask every gate about `item` and leave nothing behind: no row, no window, no token spent. With `known` the
    recipient is that one, whatever is known today, and nothing is asked that only today can answer.

    The case returned carries decisions and deliveries. Raises what accept would refuse it with.
    """
    case = Case(item, notification_id(), asyncio.get_running_loop().create_future())
    if known is not None:
        await _read_words(intake, case, {})
        case.recipient = known
        Judge(now)(case, Told(None, {}))
        plan(case)
        return case
    batch = await look_up(intake, [case], free_of_charge=True)
    if case.is_open:
        with postgres_errors():
            async with borrow(intake.pool) as conn:
                transaction = conn.transaction()
                await transaction.start()
                try:
                    await enter(intake, conn, batch, batch.cases, now=now, inline=frozenset())
                finally:
                    await transaction.rollback()
    if not case.is_open:
        await case.answer
    return case
