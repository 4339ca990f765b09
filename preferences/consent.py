"""Unsubscribe links: tokens that only this house can make, and what following one does.

A token names tenant, recipient, channel and category, and never expires: a link in an old newsletter still works.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from domain.lanes import Channel
from plumbing.database import borrow
from plumbing.secrets import Seal
from preferences import store, suppressions
from preferences.cache import user_key
from preferences.model import Preferences
from preferences.suppressions import SuppressionReason

PURPOSE = "unsubscribe"
_LAYOUT = 1
_FIXED_BYTES = 35
_USER, _CONTACT = 0, 1
_NAME_OF_USER = "SELECT external_id FROM users WHERE id = $1 AND tenant_id = $2"
_ADDRESS = "SELECT address_key, channel FROM contacts WHERE id = $1 AND tenant_id = $2"


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a token is about: one category on one channel, of a user or of an address without a user."""

    tenant_id: UUID
    user_id: UUID | None
    contact_id: UUID | None
    channel: Channel
    category: str


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """What following a token did; the caller deletes `stale_keys` from the cache."""

    subscription: Subscription
    stale_keys: tuple[str, ...] = ()


def make_token(seal: Seal, subscription: Subscription) -> str:
    """A token of about 80 characters for a URL. The user is named where there is one, else the contact."""
    user, contact = subscription.user_id, subscription.contact_id
    whom = user or contact
    if whom is None:
        raise ValueError("a token needs a user or a contact")
    kind = _USER if user is not None else _CONTACT
    head = bytes((_LAYOUT, kind)) + subscription.tenant_id.bytes + whom.bytes
    return seal.sign(PURPOSE, head + bytes((subscription.channel.code,)) + subscription.category.encode())


def unsubscribe_url(seal: Seal, public_url: str, subscription: Subscription) -> str:
    """The link for an email's List-Unsubscribe header and footer."""
    return f"{public_url.rstrip('/')}/u/{make_token(seal, subscription)}"


def describe(seal: Seal, token: str) -> Subscription | None:
    """What a token is about, for a page that changes nothing; None for anything that we did not make."""
    payload = seal.open(PURPOSE, token) if token.isascii() else None
    if payload is None or len(payload) < _FIXED_BYTES or payload[0] != _LAYOUT:
        return None
    kind, tenant, whom = payload[1], UUID(bytes=payload[2:18]), UUID(bytes=payload[18:34])
    channel, category = Channel.of(payload[34]), payload[35:].decode()
    if kind == _USER:
        return Subscription(tenant, whom, None, channel, category)
    return Subscription(tenant, None, whom, channel, category)


async def unsubscribe(
    pool: asyncpg.Pool, seal: Seal, token: str, *, evidence: Mapping[str, Any], source: str = "one_click"
) -> Unsubscribed | None:
    """Follow a token, any number of times to the same end; None for anything that we did not make. Unavailable.

    A user's preferences get a no for the category on the channel; an address without a user a suppression of that
    category. `evidence` goes to the history: when, how, from where.
    """
    subscription = describe(seal, token)
    if subscription is None:
        return None
    async with borrow(pool) as conn, conn.transaction():
        if subscription.user_id is not None:
            stale = await _refuse_for_user(conn, subscription, store.Author("recipient", source, evidence))
        else:
            stale = await _refuse_for_address(conn, subscription, source)
    return Unsubscribed(subscription, stale)


async def _refuse_for_user(
    conn: asyncpg.Connection, subscription: Subscription, author: store.Author
) -> tuple[str, ...]:
    tenant = subscription.tenant_id
    name = await conn.fetchval(_NAME_OF_USER, subscription.user_id, tenant)
    if name is None:
        return ()  # erased meanwhile: nobody is left who could be written to
    await store.write(conn, tenant, name, lambda chosen: refused(chosen, subscription), author=author)
    return (user_key(tenant, name),)


async def _refuse_for_address(conn: asyncpg.Connection, subscription: Subscription, source: str) -> tuple[str, ...]:
    tenant = subscription.tenant_id
    row = await conn.fetchrow(_ADDRESS, subscription.contact_id, tenant)
    if row is None:
        return ()
    address = [(row["address_key"], Channel.of(row["channel"]))]
    _, stale = await suppressions.add_keys(
        conn, tenant, address, reason=SuppressionReason.UNSUBSCRIBE, source=source, category=subscription.category
    )
    return tuple(stale)


def refused(chosen: Preferences, subscription: Subscription) -> Preferences:
    """The preferences with a no for this category on this channel, and everything else as it was. Pure."""
    before = chosen.categories.get(subscription.category)
    if before is False:
        return chosen
    kept = dict.fromkeys(Channel, True) if before is True else (before or {})
    choice = {**kept, subscription.channel: False}
    return Preferences(
        chosen.channels, {**chosen.categories, subscription.category: choice}, chosen.quiet_hours, chosen.unsubscribed
    )
