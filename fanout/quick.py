"""The quick way through accept, for batches that meet nobody: judged by what was read before, written by one statement.

The statement itself sees whether that still holds (`tracking.quick`). When it does not, nothing was written, and
`fanout.accept` goes the long way with the same cases: each gate there begins anew.
"""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import asyncpg

from domain.lanes import Lane
from fanout import limits
from fanout.cases import Case
from fanout.gates import dedupe
from fanout.gates.recipient import identity
from fanout.gates.verdicts import Judge
from fanout.plan import plan
from fanout.records import records
from preferences.model import KnownRecipient
from tracking import quick
from tracking.rows import OutboxRow

QUICK_BELOW = 64
"""Larger batches are cheaper by COPY, whose round trips they share."""


def may_be_quick(cases: Collection[Case]) -> bool:
    """Whether nothing says already that the quick way will fail."""
    return 0 < len(cases) < QUICK_BELOW and not any(case.request.to.is_inline or case.has_waited for case in cases)


async def enter_quickly(
    conn: asyncpg.Connection,
    cases: Collection[Case],
    cached: dict[Case, KnownRecipient],
    spent: limits.Spent,
    *,
    now: datetime,
    inline: frozenset[Lane],
) -> list[OutboxRow] | None:
    """Record and commit all cases; the envelopes to publish at once. None: nothing was written, go the long way."""
    users: list[tuple[UUID, int]] = []
    others: list[tuple[UUID, int]] = []
    judge = Judge(now)
    for case in cases:
        known = case.recipient = cached[case]
        (others if known.user_id is None else users).append((identity(known), known.version))
        judge(case, spent.told(case))
        plan(case)
    rivals = dedupe.find_rivals(cases)
    dedupe.settle(rivals, {})
    rows, at_once = records(cases, now=now, inline=inline)
    try:
        written = await quick.record(conn, rows, quick.Judged(users, others, dedupe.windows_of(rivals)))
    except asyncpg.DataError:  # one of them holds what cannot be kept: the long way finds out which
        return None
    return at_once if written else None
