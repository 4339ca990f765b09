"""Accept by one statement: when it may, what it sees, and that the long way ends as it always did."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest

from domain.clock import utc_now
from domain.errors import RequestRefused
from domain.ids import notification_id
from domain.notification import NotificationStatus, Recipient
from domain.reasons import Reason
from fanout.accept import Intake, commit, look_up
from fanout.batch import Batcher
from fanout.cases import Accepted, Case, Item
from plumbing.database import open_hot_pool
from preferences import store
from preferences.model import Preferences
from preferences.store import Author
from tests.builders import a_key, a_sender, an_item
from tests.integration.devices import a_user
from tests.integration.fanout.conftest import Published, count
from tests.integration.fanout.processes import together

ADA = Recipient(user="ada", email="ada@example.com")


@pytest.fixture
async def ran(intake: Intake, database_url: str) -> AsyncIterator[tuple[Intake, list[str]]]:
    """An intake with one connection of its own, and the statements that ran on it."""
    pool, ran = await open_hot_pool(database_url, size=1), list[str]()
    async with pool.acquire() as conn:
        conn.add_query_logger(lambda query: ran.append(query.query))
    yield replace(intake, pool=pool), ran
    await pool.close()


def a_case(item: Item) -> Case:
    """The item as the batcher would take it."""
    return Case(item, notification_id(), asyncio.get_running_loop().create_future())


async def test_who_is_cached_is_accepted_by_one_statement(ran: tuple[Intake, list[str]], tenant: UUID) -> None:
    intake, statements = ran
    sender, batcher = a_sender(tenant), Batcher(intake, Published())
    batcher.open()
    for name in ("first", "second"):
        await asyncio.gather(
            *(batcher.submit(an_item(sender, a_key(f"{name}-{n}"), to=f"{n}@x.org")) for n in range(3))
        )
    await asyncio.sleep(0)
    statements.clear()

    answers = await asyncio.gather(
        *(batcher.submit(an_item(sender, a_key(f"quick-{n}"), to=f"{n}@x.org", dedupe_key="d")) for n in range(3))
    )

    await asyncio.sleep(0)
    assert [answer.status for answer in answers] == [NotificationStatus.ACCEPTED] * 3
    assert len([each for each in statements if "INSERT INTO notifications" in each]) == 1
    assert [each for each in statements if "FROM idempotency" in each or each.startswith(("BEGIN", "COMMIT"))] == []
    await batcher.close()


async def test_who_is_not_cached_is_asked_for_by_one_statement_more(
    ran: tuple[Intake, list[str]], tenant: UUID
) -> None:
    intake, statements = ran
    for n in range(3):
        await a_user(intake.pool, tenant, f"cold-{n}")
    sender, batcher = a_sender(tenant), Batcher(intake, Published())
    batcher.open()

    for _ in range(2):
        await asyncio.gather(*(batcher.submit(an_item(sender, to=Recipient(user=f"cold-{n}"))) for n in range(3)))

    await batcher.close()
    assert [each for each in statements if each.startswith("BEGIN")] == []
    assert len([each for each in statements if "INSERT INTO notifications" in each]) == 2
    assert len([each for each in statements if "FROM preferences" in each or "JOIN preferences" in each]) == 1


async def test_an_unknown_address_is_kept_with_its_notification_or_not_at_all(
    ran: tuple[Intake, list[str]], tenant: UUID
) -> None:
    intake, statements = ran
    case = a_case(an_item(a_sender(tenant)))
    batch = await look_up(intake, [case])

    await commit(intake, batch, now=utc_now(), inline=frozenset())

    assert (await case.answer).status is NotificationStatus.ACCEPTED
    begun = next(place for place, each in enumerate(statements) if each.startswith("BEGIN"))
    assert [each for each in statements[:begun] if "INSERT" in each] == []


async def test_an_opt_out_between_the_look_at_the_cache_and_the_statement_wins(
    intake: Intake, batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    sender = a_sender(tenant)
    await batcher.submit(an_item(sender, to=ADA))
    await batcher.submit(an_item(sender, to=Recipient(user="ada")))
    case = a_case(an_item(sender, to=Recipient(user="ada")))
    batch = await look_up(intake, [case])
    assert case in batch.cached

    await store.put(hot_pool, tenant, "ada", Preferences(unsubscribed=True), author=Author("cn_live_abc", "api"))
    await commit(intake, batch, now=utc_now(), inline=frozenset())

    accepted = case.answer.result()
    assert (accepted.status, accepted.reason) == (NotificationStatus.SUPPRESSED, Reason.UNSUBSCRIBED_GLOBAL)
    assert await count(hot_pool, "notifications", tenant) == 3


async def test_twins_in_two_batchers_are_one_notification(
    intake: Intake, batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    other = Batcher(intake, Published())
    other.open()
    sender = a_sender(tenant)
    await batcher.submit(an_item(sender))

    answers: list[Accepted | BaseException] = []
    for n in range(100):
        answers += await asyncio.gather(
            *(each.submit(an_item(sender, a_key(f"rival-{n}"))) for each in (batcher, other)), return_exceptions=True
        )

    refused = [each for each in answers if isinstance(each, BaseException)]
    assert {getattr(each, "reason", each) for each in refused} <= {"idempotency_in_progress"}
    assert len({each.id for each in answers if isinstance(each, Accepted)}) == 100
    assert await count(hot_pool, "notifications", tenant) == 101
    await other.close()


async def test_equal_dedupe_keys_in_two_batchers_send_once(
    intake: Intake, batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    other = Batcher(intake, Published())
    other.open()
    sender = a_sender(tenant)
    await batcher.submit(an_item(sender))

    for n in range(100):
        pair = await asyncio.gather(
            *(each.submit(an_item(sender, dedupe_key=f"pair-{n}")) for each in (batcher, other, batcher))
        )
        (first,) = [each for each in pair if each.status is NotificationStatus.ACCEPTED]
        assert [each.duplicate_of for each in pair if each is not first] == [first.id] * 2

    assert await count(hot_pool, "notifications", tenant) == 301
    assert await hot_pool.fetchval("SELECT count(*) FROM deliveries WHERE tenant_id = $1 AND status = 1", tenant) == 101
    await other.close()


async def test_twins_of_cached_recipients_in_two_processes_are_one_notification(
    batcher: Batcher, database_url: str, redis_url: str, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    sender = a_sender(tenant)
    await asyncio.gather(*(batcher.submit(an_item(sender, to=f"t{n}@example.com")) for n in range(50)))
    wishes = [{"key": f"quick-twin-{n}", "to": f"t{n}@example.com"} for n in range(50)]

    first, second = await together((database_url, redis_url), tenant, wishes, wishes)

    for one, two in zip(first, second, strict=True):
        assert {one.get("error"), two.get("error")} <= {None, "idempotency_in_progress"}
        assert len({each["id"] for each in (one, two) if "id" in each}) == 1
    assert await count(hot_pool, "notifications", tenant) == 100


async def test_who_brings_what_cannot_be_kept_errs_alone(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    sender = a_sender(tenant)
    await batcher.submit(an_item(sender))
    await batcher.submit(an_item(sender))

    answers = await asyncio.gather(
        *(batcher.submit(an_item(sender, collapse_id=words)) for words in ("good", "bad\0", "fine")),
        return_exceptions=True,
    )

    assert [getattr(each, "reason", None) for each in answers] == [None, "data_rejected", None]
    assert isinstance(answers[1], RequestRefused)
    assert await count(hot_pool, "notifications", tenant) == 4
