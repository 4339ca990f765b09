"""Dead letters: what nobody will try again by itself, kept where an operator can look at it and settle it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from domain.ids import uuid7
from domain.lanes import Channel
from plumbing.database import borrow

_ARCHIVE = """
INSERT INTO dead_letters AS kept
  (id, tenant_id, delivery_id, channel, reason, detail, fingerprint, evidence, recipient_id)
SELECT k.id, k.tenant_id, k.delivery_id, k.channel, k.reason, k.detail, k.fingerprint, k.evidence::jsonb,
  (SELECT coalesce(d.user_id, d.address_id) FROM deliveries d WHERE d.id = k.delivery_id)
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::smallint[], $5::text[], $6::text[], $7::text[], $8::text[])
  k(id, tenant_id, delivery_id, channel, reason, detail, fingerprint, evidence)
ORDER BY k.delivery_id
ON CONFLICT (delivery_id) DO UPDATE SET reason = excluded.reason, detail = excluded.detail,
  fingerprint = excluded.fingerprint, evidence = excluded.evidence, created_at = now(),
  settled_at = NULL, settlement = NULL
"""
INLINE = "inline content"
"""What stands in a fingerprint in a template's place when the words came with the request."""

_LONGEST_DETAIL = 2000
_LONGEST_ERROR = 200
_VARIABLE_PARTS = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\S+@\S+|\+?\d+")


@dataclass(slots=True)
class DeadLetter:
    """One dead letter. `reason` is a stable label; a message that nobody could read has no delivery and no tenant.

    Letters of one `fingerprint` (channel, provider, normalised error, template version) are one cluster of trouble.
    """

    reason: str
    detail: str
    fingerprint: str
    evidence: dict[str, Any]
    tenant_id: UUID | None = None
    delivery_id: UUID | None = None
    channel: Channel | None = None


def fingerprint(of: str, error: str, *, provider: str | None = None, template: str = "-") -> str:
    """Equal for letters of one cause: what differs from one delivery to the next is taken out.

    `of` is a channel or `receipts`, `template` a name and version; four parts between bars.
    """
    normalised = _VARIABLE_PARTS.sub("*", error)[:_LONGEST_ERROR]
    return "|".join(part.replace("|", "/") for part in (of, provider or "-", normalised, template))


async def archive(pool: asyncpg.Pool, letters: Sequence[DeadLetter]) -> None:
    """Keep these letters, and commit: acknowledge their messages only afterwards. Raises Unavailable."""
    async with borrow(pool) as conn:
        await keep(conn, letters)


async def keep(conn: asyncpg.Connection, letters: Sequence[DeadLetter]) -> None:
    """Keep these letters in the caller's transaction; a delivery that died before gets its letter renewed."""
    by_delivery = {letter.delivery_id or uuid7(): letter for letter in letters}
    if by_delivery:
        await conn.execute(_ARCHIVE, *zip(*map(_values, by_delivery.values()), strict=True))


def _values(letter: DeadLetter) -> tuple[Any, ...]:
    return (
        uuid7(),
        letter.tenant_id,
        letter.delivery_id,
        letter.channel.code if letter.channel is not None else None,
        _storable(letter.reason),
        _storable(letter.detail)[:_LONGEST_DETAIL],
        _storable(letter.fingerprint),
        msgspec.json.encode(letter.evidence).decode().replace("\\u0000", "\\ufffd"),
    )


def _storable(text: str) -> str:
    """PostgreSQL's text holds no NUL and no lone surrogates; what a stranger sent may."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
