"""Bulk: up to a thousand requests in one transaction of their own, under one Idempotency-Key, each with its result."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from domain.errors import Fault, RequestRefused, Unavailable
from domain.ids import notification_ids
from domain.lanes import Lane
from domain.notification import NotificationRequest
from fanout.accept import Batch, Intake, count_expired, enter, enter_each, look_up
from fanout.answers import answer, rebuild
from fanout.cases import Accepted, BulkAccepted, Case, IdempotencyKey, Item, Sender
from fanout.gates.idempotency import first_decisions, key_reused, still_running
from fanout.limits import give_back
from plumbing.database import borrow, is_conflict, postgres_errors
from plumbing.failpoints import Failpoint, reach
from tracking import ledger, once
from tracking.rows import IdempotencyRow, OutboxRow, Records

TRIES = 3
"""So often a transaction that met another is tried."""

Result = Accepted | RequestRefused


async def accept_bulk(
    intake: Intake,
    sender: Sender,
    requests: Sequence[NotificationRequest | RequestRefused],
    key: IdempotencyKey | None,
    *,
    now: datetime,
    inline: frozenset[Lane],
) -> tuple[BulkAccepted, list[OutboxRow]]:
    """The results in order, and the envelopes to publish now. One bad request never spoils the others.

    Raises RequestRefused for the request as a whole (the key was used for another, or a twin is running), or
    Unavailable; nothing is kept then.
    """
    loop, now_ms = asyncio.get_running_loop(), int(now.timestamp() * 1000)
    entries: list[Case | RequestRefused] = [
        each if isinstance(each, RequestRefused) else Case(Item(sender, each), identifier, loop.create_future())
        for each, identifier in zip(requests, notification_ids(len(requests), now_ms), strict=True)
    ]
    batch = await look_up(intake, [entry for entry in entries if isinstance(entry, Case)])
    is_kept = False
    try:
        answered = await _try(intake, batch, entries, key, now=now, inline=inline)
        is_kept = True
        return answered
    finally:
        await give_back(intake.limiter, batch.spent, everything=not is_kept)


async def _try(
    intake: Intake,
    batch: Batch,
    entries: Sequence[Case | RequestRefused],
    key: IdempotencyKey | None,
    *,
    now: datetime,
    inline: frozenset[Lane],
) -> tuple[BulkAccepted, list[OutboxRow]]:
    """Commit; again when transactions met, and one by one when something in it cannot be kept."""
    one_by_one, conflicts = False, 0
    while True:
        try:
            return await _commit(intake, batch, entries, key, now=now, inline=inline, one_by_one=one_by_one)
        except asyncpg.DataError:
            if one_by_one:
                raise
            one_by_one = True
        except Unavailable as error:
            conflicts += 1
            if conflicts == TRIES or not is_conflict(error):
                raise


async def _commit(
    intake: Intake,
    batch: Batch,
    entries: Sequence[Case | RequestRefused],
    key: IdempotencyKey | None,
    *,
    now: datetime,
    inline: frozenset[Lane],
    one_by_one: bool,
) -> tuple[BulkAccepted, list[OutboxRow]]:
    with postgres_errors():
        async with borrow(intake.pool) as conn, conn.transaction():
            if key is not None and (kept := await _answered_before(conn, key)) is not None:
                return BulkAccepted(await _read_kept(conn, kept), replayed=True), []
            step = enter_each if one_by_one else enter
            committed = await step(intake, conn, batch, batch.cases, now=now, inline=inline)
            results = [_result(entry) for entry in entries]
            if key is not None:
                row = IdempotencyRow(key.key, key.fingerprint, None, _keep(results))
                await ledger.record(conn, Records([], [], [], [row]))
            reach(Failpoint.ACCEPT_BEFORE_COMMIT)
    reach(Failpoint.ACCEPT_AFTER_COMMIT)
    count_expired(committed.recorded)
    return BulkAccepted(results), committed.at_once


def _result(entry: Case | RequestRefused) -> Result:
    """The case's answer, or what it was refused with."""
    if isinstance(entry, RequestRefused):
        return entry
    if entry.is_open:
        return answer(entry)
    match entry.answer.exception():
        case None:
            return entry.answer.result()
        case RequestRefused() as refusal:
            return refusal
        case failure:
            raise failure


async def _answered_before(conn: asyncpg.Connection, key: IdempotencyKey) -> bytes | None:
    if key.key not in await once.lock(conn, [key.key]):
        raise still_running()
    known = (await once.known(conn, [key.key])).get(key.key)
    if known is None:
        return None
    if known.fingerprint != key.fingerprint or known.answer is None:
        raise key_reused()
    return bytes(known.answer)


def _keep(results: Sequence[Result]) -> bytes:
    """The answer in brief: ids of the accepted, refusals as they are."""
    brief: list[Any] = [
        result.id
        if isinstance(result, Accepted)
        else [result.reason, result.detail, result.status, [[fault.pointer, fault.detail] for fault in result.faults]]
        for result in results
    ]
    return msgspec.json.encode(brief)


async def _read_kept(conn: asyncpg.Connection, kept: bytes) -> list[Result]:
    brief: list[Any] = msgspec.json.decode(kept)
    found = await first_decisions(conn, [UUID(each) for each in brief if isinstance(each, str)])
    results: list[Result] = []
    for each in brief:
        if isinstance(each, str):
            identifier = UUID(each)
            results.append(rebuild(identifier, *found[identifier]))
        else:
            reason, detail, status, faults = each
            results.append(RequestRefused(reason, detail, status, tuple(Fault(*fault) for fault in faults)))
    return results
