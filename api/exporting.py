"""The export of a user: one JSON document, written piece by piece, so that no history is too long for it.

Each part is read a page at a time, and no connection is held while the reader takes its time.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.engine import RowMapping

from api.dependencies import House
from domain.clock import rfc3339
from domain.lanes import Channel
from plumbing.database import postgres_errors
from preferences import users
from preferences.users import User
from tracking import dossier
from tracking.erasure import FIRST

PAGE = 100
_MANY = 500

_CONTACTS = "SELECT id, channel, address, created_at, updated_at FROM contacts WHERE user_id = :user ORDER BY channel"
_PREFERENCES = "SELECT document, version, updated_at FROM preferences WHERE user_id = :user"
_HISTORY = """
SELECT version AS key, version, document, changed_at, actor, source, evidence FROM preference_history
WHERE user_id = :user AND version > coalesce(CAST(:after AS bigint), 0) ORDER BY version LIMIT :limit
"""
_SUPPRESSIONS = """
SELECT s.id, s.channel, c.address, nullif(s.category, '') AS category, s.reason, s.source, s.created_at, s.expires_at
FROM contacts c JOIN suppressions s ON s.address_key = c.address_key WHERE c.user_id = :user ORDER BY s.id
"""
_DEVICES = """
SELECT id AS key, id, bundle_id AS app_bundle_id, platform, provider, region, device_info, created_at, last_seen_at,
  invalidated_at FROM devices
WHERE user_id = :user AND (CAST(:after AS uuid) IS NULL OR id > :after) ORDER BY id LIMIT :limit
"""
_TOPICS = """
SELECT d.id AS device_id, s.topic, s.subscribed_at FROM devices d JOIN topic_subscriptions s ON s.device_id = d.id
WHERE d.user_id = :user ORDER BY d.id, s.topic
"""
_MAILBOX = """
SELECT m.delivery_id, m.device_id, m.wake, m.topic, m.payload, m.stored_at, m.expires_at
FROM devices d JOIN mailbox m ON m.device_id = d.id WHERE d.user_id = :user ORDER BY m.delivery_id
"""

Document: TypeAlias = Mapping[str, Any]

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose export it is."""

    tenant_id: UUID
    user: User


async def find(house: House, tenant: UUID, external_id: str) -> Subject | None:
    """The user to be exported, or None. Unavailable."""
    user = await users.get_user(house.reads(tenant), tenant, external_id)
    return Subject(tenant, user) if user is not None else None


async def stream(house: House, subject: Subject) -> AsyncIterator[bytes]:
    """The document in pieces. Unavailable in the middle ends it in the middle: what is whole ends with a brace."""
    yield b'{"user":' + _encode(_user(subject.user))
    yield b',"contacts":' + _encode([_with_channel(row) for row in await _rows(house, _CONTACTS, subject)])
    chosen = await _rows(house, _PREFERENCES, subject)
    nothing = {"version": subject.user.version, "document": {}, "updated_at": None}
    yield b',"preferences":' + _encode(_told(chosen[0]) if chosen else nothing)
    async for piece in _part(b"preference_history", _pages(house, _HISTORY, subject)):
        yield piece
    yield b',"suppressions":' + _encode([_with_channel(row) for row in await _rows(house, _SUPPRESSIONS, subject)])
    async for piece in _part(b"devices", _pages(house, _DEVICES, subject)):
        yield piece
    yield b',"topics":' + _encode([_told(row) for row in await _rows(house, _TOPICS, subject)])
    yield b',"mailbox":' + _encode([_letter(row) for row in await _rows(house, _MAILBOX, subject)])
    async for piece in _part(b"notifications", _notifications(house, subject)):
        yield piece
    async for piece in _part(b"dead_letters", _letters(house, subject)):
        yield piece
    yield b"}"


async def _part(name: bytes, pages: AsyncIterator[Sequence[Document]]) -> AsyncIterator[bytes]:
    """One list of the document, a page in each piece."""
    yield b',"' + name + b'":['
    is_first = True
    async for page in pages:
        if page:
            yield (b"" if is_first else b",") + _encode(page)[1:-1]
            is_first = False
    yield b"]"


async def _notifications(house: House, subject: Subject) -> AsyncIterator[Sequence[Document]]:
    async for page in _dossier(house, subject):
        yield [_spelled(each) for each in page.notifications]


async def _letters(house: House, subject: Subject) -> AsyncIterator[Sequence[Document]]:
    """The past is read once more: letters are few, and keeping them meanwhile would be the only thing that grows."""
    async for page in _dossier(house, subject):
        yield [_told(each) for each in page.dead_letters]


async def _dossier(house: House, subject: Subject) -> AsyncIterator[dossier.Page]:
    after: UUID | None = FIRST
    while after is not None:
        page = await dossier.page(house.reads(subject.tenant_id), subject.user.id, after=after, limit=PAGE)
        yield page
        after = page.last


async def _pages(house: House, statement: str, subject: Subject) -> AsyncIterator[Sequence[Document]]:
    """What has a key of its own, in pages."""
    after: Any = None
    while True:
        rows = await _rows(house, statement, subject, after=after, limit=_MANY)
        yield [{name: value for name, value in _told(row).items() if name != "key"} for row in rows]
        if len(rows) < _MANY:
            return
        after = rows[-1]["key"]


async def _rows(house: House, statement: str, subject: Subject, **facts: Any) -> Sequence[RowMapping]:
    with postgres_errors():
        async with house.reads(subject.tenant_id).connect() as conn:
            return (await conn.execute(text(statement), {"user": subject.user.id, **facts})).mappings().all()


def _user(user: User) -> Document:
    facts = user.facts
    told = {name: getattr(facts, name) for name in ("email", "phone", "locale", "timezone", "name", "attributes")}
    times = {"created_at": rfc3339(user.created_at), "updated_at": rfc3339(user.updated_at)}
    return {"id": user.external_id, **told, "version": user.version, **times}


def _told(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row with its times as the API writes them."""
    return {str(name): rfc3339(value) if hasattr(value, "tzinfo") else value for name, value in row.items()}


def _with_channel(row: Mapping[Any, Any]) -> Document:
    return {**_told(row), "channel": Channel.of(row["channel"])}


def _letter(row: Mapping[Any, Any]) -> Document:
    return {**_told(row), "payload": msgspec.Raw(row["payload"])}


def _spelled(notification: Mapping[str, Any]) -> Document:
    """A notification and all below it with times as the API writes them."""
    deliveries = [
        {**_told(each), "events": [_told(event) for event in each["events"]]} for each in notification["deliveries"]
    ]
    return {**_told(notification), "deliveries": deliveries}
