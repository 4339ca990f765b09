"""What was known of a user at a time in the past, put together from what is kept with a time; and what nobody can say.

Preferences have a history, and suppressions, addresses and devices the time of their making. Names, zones and lifted
suppressions have none: these are told as unknown instead of guessed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from domain.clock import rfc3339
from domain.lanes import Channel
from preferences.model import ALL_OPTIONAL, MAX_DEVICES, NOTHING_CHOSEN, KnownRecipient, Preferences
from preferences.store import Change
from preferences.suppressions import Suppression, SuppressionReason

_USER = "SELECT created_at, updated_at FROM users WHERE id = $1"
_CHOSEN = """
SELECT version, document::text AS document, changed_at, actor, source, evidence::text AS evidence
FROM preference_history WHERE user_id = $1 AND changed_at <= $2 ORDER BY version DESC LIMIT 1
"""
_CONTACTS = "SELECT id, channel, created_at, updated_at FROM contacts WHERE user_id = $1 ORDER BY channel"
_SUPPRESSIONS = """
SELECT s.id, s.channel, s.category, s.reason, s.source, s.created_at, s.expires_at, c.address
FROM contacts c JOIN suppressions s ON s.address_key = c.address_key
WHERE c.user_id = $1 AND s.created_at <= $2 AND (s.expires_at IS NULL OR s.expires_at > $2) ORDER BY s.id
"""
_DEVICES = """
SELECT id FROM devices WHERE user_id = $1 AND provider = 'carillon' AND created_at <= $2
  AND (invalidated_at IS NULL OR invalidated_at > $2) ORDER BY id DESC
"""
_CATEGORY_CHANGED = "SELECT updated_at FROM categories WHERE tenant_id = $1 AND name = $2 AND updated_at > $3"


@dataclass(frozen=True, slots=True)
class Then:
    """A user as known at a time. `chosen` is the write that held then, None when nothing was chosen yet; `unknown` are
    sentences."""

    recipient: KnownRecipient
    chosen: Change | None
    suppressions: list[Suppression]
    unknown: list[str]


async def known_then(
    conn: asyncpg.Connection, tenant: UUID, now: KnownRecipient, at: datetime, *, category: str | None
) -> Then:
    """The user as `now` is known, as of `at`. `category` is that of what would be sent."""
    user = await conn.fetchrow(_USER, now.user_id)
    row = await conn.fetchrow(_CHOSEN, now.user_id, at)
    chosen = _change(row) if row is not None else None
    contacts = await conn.fetch(_CONTACTS, now.user_id)
    suppressions = [_suppression(row) for row in await conn.fetch(_SUPPRESSIONS, now.user_id, at)]
    devices = [row["id"] for row in await conn.fetch(_DEVICES, now.user_id, at)]
    changed_at = await conn.fetchval(_CATEGORY_CHANGED, tenant, category, at) if category is not None else None
    recipient = replace(
        now,
        version=chosen.version if chosen is not None else 0,
        contacts={Channel.of(each["channel"]): each["id"] for each in contacts if each["created_at"] <= at},
        preferences=Preferences.stored(chosen.document) if chosen is not None else NOTHING_CHOSEN,
        suppressed=frozenset((each.channel, _category(each)) for each in suppressions),
        devices=tuple(devices[:MAX_DEVICES]),
    )
    unknown = [*_unknown(user, contacts, at), *_never_known()]
    if changed_at is not None:
        unknown.append(
            f"the rules of {category} were changed at {rfc3339(changed_at)}, and those of before are not kept"
        )
    return Then(recipient, chosen, suppressions, unknown)


def _unknown(user: asyncpg.Record, contacts: Iterable[asyncpg.Record], at: datetime) -> Iterable[str]:
    """What the rows say was different then."""
    if user["created_at"] > at:
        made_at = rfc3339(user["created_at"])
        yield f"the user was made at {made_at}: at that time there was none of this id, or another one"
    elif user["updated_at"] > at:
        yield "locale and time zone are those of today: when they were changed is not kept"
    for each in contacts:
        name = Channel.of(each["channel"])
        if each["created_at"] > at:
            yield f"the {name} address is newer: whether there was another one is not kept"
        elif each["updated_at"] > at:
            yield f"the {name} address, or its suppressions, changed since: what it was is not kept"


def _never_known() -> Iterable[str]:
    """What is kept nowhere, whatever the time."""
    yield "suppressions that were lifted since, and devices that were erased or given to another user, are not kept"
    yield "limits, windows of duplicates and breakers of that time are not kept"


def _category(each: Suppression) -> str:
    is_optional = not each.category and each.reason is SuppressionReason.UNSUBSCRIBE
    return ALL_OPTIONAL if is_optional else each.category


def _change(row: asyncpg.Record) -> Change:
    document, evidence = (msgspec.json.decode(row[name]) for name in ("document", "evidence"))
    return Change(row["version"], document, row["changed_at"], row["actor"], row["source"], evidence)


def _suppression(row: asyncpg.Record) -> Suppression:
    names = ("id", "category", "source", "created_at", "expires_at", "address")
    reason = SuppressionReason(row["reason"])
    return Suppression(**{name: row[name] for name in names}, channel=Channel.of(row["channel"]), reason=reason)
