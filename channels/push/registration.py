"""A device makes itself known: new, again, with another token, or as somebody else's.

What is to be done is decided by `decide`, which is pure; `register` writes it into the caller's transaction. A token is
a device's only proof: whoever has no server key must know the present one to change anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from channels.push import audit
from channels.push.apps import App
from channels.push.audit import Entry
from channels.push.devices import Touched
from channels.push.vacating import vacate
from domain.errors import Fault, RequestRefused, Unavailable
from domain.ids import uuid7
from domain.push import PushProvider
from plumbing.push_metrics import TokenOperation

UNKNOWN_PLATFORM = "unknown"
_TRIES = 3

_LOOK = """
SELECT id, tenant_id, app_id, bundle_id, user_id, token_hash, invalidated_at FROM devices
WHERE (token_hash = $1 AND bundle_id = $2) OR id = $3 ORDER BY id FOR UPDATE
"""
_ADD = """
INSERT INTO devices (id, tenant_id, app_id, bundle_id, user_id, token_hash, token_sealed, provider, platform, region,
  device_info, last_seen_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::jsonb, now())
ON CONFLICT (token_hash, bundle_id) DO NOTHING RETURNING id
"""
_CHANGE = """
UPDATE devices SET token_hash = $2, token_sealed = $3, provider = $4, platform = coalesce($5, platform),
  region = coalesce($6, region), device_info = coalesce($7::text::jsonb, device_info), user_id = coalesce($8, user_id),
  version = version + $9, invalidated_at = NULL, invalidation_reason = NULL, last_seen_at = now(), updated_at = now()
WHERE id = $1
"""


class Authority(StrEnum):
    """What stands behind a registration."""

    SERVER = "server"
    """An API key of the tenant's own machines."""
    APP = "app"
    """The publishable key that is in everybody's copy of the app."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a registration says; None says nothing and leaves what is there."""

    token_hash: bytes
    token_sealed: bytes | None = None
    provider: PushProvider = PushProvider.CARILLON
    platform: str | None = None
    region: str | None = None
    device_info: Mapping[str, Any] | None = None
    user_id: UUID | None = None
    device_id: UUID | None = None
    """Names the device whose token this becomes."""
    previous_hash: bytes | None = None
    """The proof of who has no server key: the hash of the token that this device has now."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A device as it stood when it was locked."""

    id: UUID
    tenant_id: UUID
    app_id: UUID
    user_id: UUID | None
    token_hash: bytes
    is_valid: bool


@dataclass(frozen=True, slots=True)
class Registered:
    """The device, whether it is new, what happened to it, and what that has touched."""

    device_id: UUID
    is_new: bool
    operations: tuple[TokenOperation, ...]
    touched: Touched


def decide(
    app: App, wish: Wish, authority: Authority, *, holder: Seen | None, named: Seen | None
) -> tuple[Seen | None, tuple[TokenOperation, ...]]:
    """Which device it is (None: a new one), and what happens to it; nothing for a registration that is only repeated.

    `holder` has this token in this app's bundle, whosever that is; `named` is the device of the wish's id.
    RequestRefused: 404 for a device of another app or tenant, 409 for a token that is another's, 403 for what needs a
    server key.
    """
    if holder is not None and (holder.tenant_id, holder.app_id) != (app.tenant_id, app.id):
        raise _taken()
    if wish.device_id is not None:
        if named is None or (named.tenant_id, named.app_id) != (app.tenant_id, app.id):
            raise RequestRefused("not_found", "there is no such device of this app", 404)
        if holder is not None and holder.id != named.id:
            raise _taken()
        if authority is Authority.APP and named.token_hash not in {wish.previous_hash, wish.token_hash}:
            detail = "an app key gives a device a new token only beside its present one: send previous_token"
            raise RequestRefused("proof_missing", detail, 403)
    device = named if wish.device_id is not None else holder
    if wish.user_id is not None and authority is Authority.APP:
        refuse_claims(app)
        _refuse_move(wish.user_id, device)
    if device is None:
        return None, (TokenOperation.REGISTERED,)
    operations = []
    if device.token_hash != wish.token_hash:
        operations.append(TokenOperation.REFRESHED)
    if wish.user_id is not None and wish.user_id != device.user_id:
        operations.append(TokenOperation.TRANSFERRED)
    if not device.is_valid:
        operations.append(TokenOperation.RESTORED)
    return device, tuple(operations)


async def register(conn: asyncpg.Connection, app: App, wish: Wish, *, authority: Authority, actor: str) -> Registered:
    """Write a registration. Whoever registers the same token at the same time gets the same device.

    Raises RequestRefused as `decide` does, Unavailable when it was overtaken again and again.
    """
    for _ in range(_TRIES):
        holder, named = await _look(conn, app, wish)
        device, operations = decide(app, wish, authority, holder=holder, named=named)
        device_id = await _add(conn, app, wish) if device is None else await _change(conn, wish, device, operations)
        if device_id is not None:
            break
    else:
        raise Unavailable("PostgreSQL", "others registered this token again and again")
    touched = Touched(token_hashes={wish.token_hash})
    if operations:
        touched.add(device.token_hash if device else wish.token_hash, wish.user_id, device.user_id if device else None)
    if device is not None and TokenOperation.REFRESHED in operations:
        touched.dismissed.add(device.id)
    if device is not None and TokenOperation.TRANSFERRED in operations:
        await vacate(conn, [device.id])
    entries = [Entry(app.tenant_id, app.bundle_id, each, actor, device_id, wish.token_hash) for each in operations]
    await audit.add(conn, entries)
    return Registered(device_id, device is None, operations, touched)


def refuse_claims(app: App) -> None:
    """RequestRefused(403) where an app key must name no users: anybody can read it out of the app, and would read
    another's notifications by naming them."""
    if not app.names_users:
        raise _needs_server_key("a publishable key does not say whose a device is, unless the app has names_users")


def _refuse_move(user_id: UUID, device: Seen | None) -> None:
    if device is not None and device.user_id not in {None, user_id}:
        raise _needs_server_key("a device is moved from one user to another with a server key only")


def _needs_server_key(detail: str) -> RequestRefused:
    return RequestRefused("user_needs_server_key", detail, 403, faults=(Fault("/user", detail),))


def _taken() -> RequestRefused:
    return RequestRefused("token_taken", "this token is registered for this app as another device", 409)


async def _add(conn: asyncpg.Connection, app: App, wish: Wish) -> UUID | None:
    """The new device's id, or None when another transaction has registered this token meanwhile."""
    added: UUID | None = await conn.fetchval(
        _ADD,
        uuid7(),
        app.tenant_id,
        app.id,
        app.bundle_id,
        wish.user_id,
        wish.token_hash,
        wish.token_sealed,
        str(wish.provider),
        wish.platform or UNKNOWN_PLATFORM,
        wish.region,
        _json(wish.device_info or {}),
    )
    return added


async def _change(
    conn: asyncpg.Connection, wish: Wish, device: Seen, operations: Sequence[TokenOperation]
) -> UUID | None:
    try:
        await conn.execute(
            _CHANGE,
            device.id,
            wish.token_hash,
            wish.token_sealed,
            str(wish.provider),
            wish.platform,
            wish.region,
            _json(wish.device_info) if wish.device_info is not None else None,
            wish.user_id,
            1 if operations else 0,
        )
    except asyncpg.UniqueViolationError:
        raise _taken() from None  # by another transaction, since we looked
    return device.id


async def _look(conn: asyncpg.Connection, app: App, wish: Wish) -> tuple[Seen | None, Seen | None]:
    """Who has this token in this bundle, and the device that the wish names; both are locked."""
    rows = await conn.fetch(_LOOK, wish.token_hash, app.bundle_id, wish.device_id)
    holder = [row for row in rows if (row["token_hash"], row["bundle_id"]) == (wish.token_hash, app.bundle_id)]
    named = [row for row in rows if row["id"] == wish.device_id]
    return _seen(holder[0]) if holder else None, _seen(named[0]) if named else None


def _seen(row: asyncpg.Record) -> Seen:
    return Seen(
        row["id"], row["tenant_id"], row["app_id"], row["user_id"], row["token_hash"], row["invalidated_at"] is None
    )


def _json(value: Mapping[str, Any]) -> str:
    return msgspec.json.encode(value).decode()
