"""Notes what webhooks are to be told, in the very statement that writes a status: both are there, or neither.

A statement of ours that writes a status is rewritten once: its UPDATE returns whose the delivery is and where it stands
now, and one more part of it inserts a message per webhook that wants to hear of that. A message is there once per
webhook, delivery, status and attempt, so what is written twice is told once.
"""

import re
from collections.abc import Sequence
from functools import cache

import asyncpg

from domain.delivery import DeliveryStatus
from plumbing.listening import LISTENING
from tracking.rows import DeliveryRow
from tracking.sql import sql

_FIRST_PART = re.compile(r"^\s*WITH (\w+) AS \(\s*UPDATE deliveries d SET")
_RETURNING = "RETURNING d.id, "
_NOTED = "noted AS ("
_WHOSE = "d.tenant_id AS told_tenant, d.status AS told_status, d.reason AS told_reason, d.attempt AS told_attempt, "
_TELL = """told AS (
  INSERT INTO webhook_messages (webhook_id, tenant_id, delivery_id, status, reason, delivery_attempt)
  SELECT w.id, w.tenant_id, x.id, x.told_status, x.told_reason, x.told_attempt FROM {part} x
  JOIN webhooks w ON w.tenant_id = x.told_tenant
  WHERE w.disabled_at IS NULL AND w.deleted_at IS NULL AND x.told_status = ANY(w.statuses)
  ON CONFLICT DO NOTHING),
"""
_TELL_RECORDED = sql("""
INSERT INTO webhook_messages (webhook_id, tenant_id, delivery_id, status, reason, delivery_attempt)
SELECT w.id, w.tenant_id, k.id, <suppressed>, k.reason, 0
FROM unnest($1::uuid[], $2::uuid[], $3::smallint[]) k(id, tenant_id, reason)
JOIN webhooks w ON w.tenant_id = k.tenant_id
WHERE w.disabled_at IS NULL AND w.deleted_at IS NULL AND <suppressed> = ANY(w.statuses)
ON CONFLICT DO NOTHING
""")


def heard(statement: str) -> str:
    """The statement as it is to be run now: while anybody listens, the one that tells as well."""
    return telling(statement) if LISTENING.is_on else statement


@cache
def telling(statement: str) -> str:
    """The same statement, with a part that notes what is to be told. RuntimeError when it is not of the usual form."""
    found = _FIRST_PART.match(statement)
    if found is None or _RETURNING not in statement or _NOTED not in statement:
        raise RuntimeError(f"nobody would be told by this statement: {statement.strip()[:80]}")
    returning = statement.replace(_RETURNING, _RETURNING + _WHOSE, 1)
    return returning.replace(_NOTED, _TELL.format(part=found[1]) + _NOTED, 1)


def must_tell(deliveries: Sequence[DeliveryRow]) -> bool:
    """Whether some of these end as they are recorded, and somebody may want to hear of it."""
    return LISTENING.is_on and any(one.status is DeliveryStatus.SUPPRESSED for one in deliveries)


async def tell_recorded(conn: asyncpg.Connection, deliveries: Sequence[DeliveryRow]) -> None:
    """Note those that are suppressed from the beginning, in the transaction that records them."""
    if not LISTENING.is_on:
        return
    ended = [one for one in deliveries if one.status is DeliveryStatus.SUPPRESSED]
    if ended:
        reasons = [one.reason.code if one.reason is not None else None for one in ended]
        await conn.execute(_TELL_RECORDED, [one.id for one in ended], [one.tenant_id for one in ended], reasons)
