"""The gate of idempotency: the same key and request get the first answer again; nothing waits for a running twin."""

from asyncio import Future
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import asyncpg

from domain.errors import RequestRefused
from fanout.answers import rebuild
from fanout.cases import Accepted, Case
from tracking import once

_FIRST_DECISIONS = """
SELECT n.id, n.decisions, n.duplicate_of FROM unnest($1::uuid[]) k(id) JOIN notifications n ON n.id = k.id
"""


def fold(cases: Sequence[Case]) -> list[Case]:
    """Keep the first of those that came with the same key; the others get its answer when it has one."""
    first: dict[UUID, Case] = {}
    kept = []
    for case in cases:
        key = case.item.key
        leader = first.setdefault(key.key, case) if key is not None else case
        if leader is case:
            kept.append(case)
        elif _fingerprint(case) == _fingerprint(leader):
            _follow(leader, case)
        else:
            case.refuse(key_reused())
    return kept


def _follow(leader: Case, follower: Case) -> None:
    def repeat(answered: Future[Accepted]) -> None:
        if follower.answer.done():
            return
        if answered.cancelled():
            follower.refuse(still_running())
        elif (error := answered.exception()) is not None:
            follower.refuse(error)
        else:
            follower.answer.set_result(replace(answered.result(), replayed=True, limit=None))

    leader.answer.add_done_callback(repeat)


async def pass_idempotency(conn: asyncpg.Connection, cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """`(fresh, waiting)`: cases to go on with, and those whose twin is in another transaction right now.

    Answers or refuses the rest. A case waits once, for the next batch; then it is refused with 409.
    """
    keyed = {case.item.key.key: case for case in cases if case.item.key is not None}
    if not keyed:
        return list(cases), []
    locked = await once.lock(conn, list(keyed))
    known = await once.known(conn, list(locked))
    replays: dict[UUID, Case] = {}
    waiting = []
    for key, case in keyed.items():
        before = known.get(key)
        if key not in locked:
            waiting += _wait_or_refuse(case)
        elif before is not None:
            if before.notification_id is None or before.fingerprint != _fingerprint(case):
                case.refuse(key_reused())
            else:
                replays[before.notification_id] = case
    await _replay(conn, replays)
    aside = {*waiting, *replays.values()}
    return [case for case in cases if case.is_open and case not in aside], waiting


def _fingerprint(case: Case) -> UUID | None:
    return case.item.key.fingerprint if case.item.key is not None else None


def _wait_or_refuse(case: Case) -> list[Case]:
    if case.has_waited:
        case.refuse(still_running())
        return []
    case.has_waited = True
    return [case]


async def _replay(conn: asyncpg.Connection, replays: dict[UUID, Case]) -> None:
    if not replays:
        return
    found = await first_decisions(conn, list(replays))
    for identifier, case in replays.items():
        if case.is_open:  # a second try of its batch finds it answered, and its sender may be gone
            case.answer.set_result(rebuild(identifier, *found[identifier]))


async def first_decisions(conn: asyncpg.Connection, ids: Sequence[UUID]) -> dict[UUID, tuple[bytes, UUID | None]]:
    """`decisions` and `duplicate_of` of these notifications, which outlive every key that points at them."""
    rows = await conn.fetch(_FIRST_DECISIONS, ids)
    return {row["id"]: (row["decisions"], row["duplicate_of"]) for row in rows}


def key_reused() -> RequestRefused:
    """The same Idempotency-Key came with another request."""
    return RequestRefused("idempotency_key_reused", "this Idempotency-Key was used with another request")


def still_running() -> RequestRefused:
    """A twin of this request is being worked on."""
    detail = "a request with this Idempotency-Key is still running"
    return RequestRefused("idempotency_in_progress", detail, 409, retry_after_s=1)
