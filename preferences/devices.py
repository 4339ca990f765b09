"""Devices as recipients: whose a named device is, and whether it can get a push. `channels` writes them, not this."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

import asyncpg

from domain.notification import Recipient
from plumbing.secrets import Seal

RECEIVES = "v.invalidated_at IS NULL AND v.provider = 'carillon'"
"""What a device `v` must fulfil: its token is valid, and it is our own gateway that serves it."""

_COLUMNS = (
    f"v.id, v.token_hash, v.version, v.user_id, {RECEIVES} AS receives, "
    "v.invalidated_at IS NULL AND v.provider <> 'carillon' AS is_foreign"
)
_NAMED = f"""
SELECT {_COLUMNS} FROM unnest($2::uuid[]) k(id) JOIN devices v ON v.id = k.id AND v.tenant_id = $1
UNION ALL
SELECT {_COLUMNS} FROM unnest($3::bytea[]) k(hash) JOIN devices v ON v.token_hash = k.hash AND v.tenant_id = $1
"""  # noqa: S608  # only our own words


class Owned(NamedTuple):
    """A device at `version`, and the user it belongs to. It `receives` while it is valid and ours to serve; a valid one
    of another push service `is_foreign`."""

    id: UUID
    version: int
    user_id: UUID | None
    receives: bool
    is_foreign: bool


async def named(
    conn: asyncpg.Connection, seal: Seal, tenant: UUID, recipients: Iterable[Recipient]
) -> dict[Recipient, Owned]:
    """The devices that these recipients name, by id or by token; unknown ones are missing. One statement.

    A token that several apps know means the newest of those devices that can get a push.
    """
    wanted = list(recipients)
    hashes = {each: seal.token_hash(each.device_token) for each in wanted if each.device_token is not None}
    ids = [each.device_id for each in wanted if each.device_id is not None]
    rows = await conn.fetch(_NAMED, tenant, ids, list(hashes.values()))
    by_id: dict[UUID, Owned] = {}
    by_hash: dict[bytes, Owned] = {}
    for row in sorted(rows, key=lambda row: (row["receives"], row["id"])):
        by_id[row["id"]] = by_hash[row["token_hash"]] = _owned(row)
    found = {
        each: by_id.get(each.device_id) if each.device_id is not None else by_hash.get(hashes[each]) for each in wanted
    }
    return {each: device for each, device in found.items() if device is not None}


async def by_id(conn: asyncpg.Connection, tenant: UUID, ids: Sequence[UUID]) -> dict[UUID, Owned]:
    """These devices of a tenant; those that are gone altogether are missing. One statement."""
    return {row["id"]: _owned(row) for row in await conn.fetch(_NAMED, tenant, ids, [])}


def _owned(row: asyncpg.Record) -> Owned:
    return Owned(row["id"], row["version"], row["user_id"], row["receives"], row["is_foreign"])
