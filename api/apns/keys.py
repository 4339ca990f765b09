"""Keys that sign provider tokens: made, imported, listed, revoked; the only writer of `apns_keys`.

We keep public halves. The private half is the provider's alone: it is written to a file once, or never seen at all.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from domain.errors import Misconfigured
from domain.ids import uuid7

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""Team ids and key ids; Apple's have ten letters and digits."""

_FIND_APP = """
SELECT a.id, a.tenant_id FROM apps a JOIN tenants t ON t.id = a.tenant_id WHERE t.name = $1 AND a.bundle_id = $2
"""
_STORE = """
INSERT INTO apns_keys (id, tenant_id, app_id, team_id, key_id, public_key) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (team_id, key_id, app_id) DO NOTHING RETURNING id
"""
_LIST = """
SELECT k.id, t.name AS tenant, a.bundle_id, k.team_id, k.key_id, k.created_at, k.revoked_at
FROM apns_keys k JOIN apps a ON a.id = k.app_id JOIN tenants t ON t.id = k.tenant_id ORDER BY k.id
"""
_REVOKE = """
WITH found AS (SELECT k.id, k.revoked_at FROM apns_keys k JOIN tenants t ON t.id = k.tenant_id
               WHERE t.name = $1 AND (k.id::text = $2 OR k.key_id = $2)),
     ended AS (UPDATE apns_keys SET revoked_at = now() FROM found
               WHERE apns_keys.id = found.id AND found.revoked_at IS NULL RETURNING 1)
SELECT (SELECT count(*) FROM found) AS found, (SELECT count(*) FROM ended) AS ended
"""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key as it can be shown."""

    id: UUID
    tenant: str
    bundle_id: str
    team_id: str
    key_id: str
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A new key: `private_pem` is PKCS#8, as Apple's .p8 files are; both are PEM."""

    private_pem: bytes
    public_pem: str


def new_pair() -> KeyPair:
    """A fresh pair on P-256."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return KeyPair(private, _pem(key.public_key()))


def public_half(pem: bytes) -> str:
    """The public key in a PEM file, or the public half of the private one in it. Misconfigured unless on P-256."""
    try:
        key: Any = (
            serialization.load_pem_private_key(pem, None).public_key()
            if b"PRIVATE KEY" in pem
            else serialization.load_pem_public_key(pem)
        )
    except (ValueError, TypeError) as error:
        raise Misconfigured(f"this is no PEM file with a key that can be read: {error}") from error
    return _pem(need_p256(key))


def need_p256(key: object) -> ec.EllipticCurvePublicKey:
    """`key` itself, a public key on P-256: the curve of ES256 (RFC 7518, 3.4). Misconfigured for any other."""
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Misconfigured("provider tokens are signed with ES256: the key must be an elliptic curve key on P-256")
    return key


async def store_key(
    conn: asyncpg.Connection, *, tenant: str, bundle_id: str, team_id: str, key_id: str, public_pem: str
) -> UUID:
    """Store a key for an app; its id. Misconfigured when the app is unknown or the app has had a key of that name."""
    for what, name in (("team", team_id), ("key id", key_id)):
        if not NAME.fullmatch(name):
            raise Misconfigured(f"a {what} has 1 to 64 letters, digits, '.', '_' or '-', not {name!r}")
    app = await conn.fetchrow(_FIND_APP, tenant, bundle_id)
    if app is None:
        raise Misconfigured(f"tenant {tenant!r} has no app {bundle_id!r}: PUT /api/v1/apps/{bundle_id} makes it")
    stored: UUID | None = await conn.fetchval(_STORE, uuid7(), app["tenant_id"], app["id"], team_id, key_id, public_pem)
    if stored is None:
        raise Misconfigured(f"app {bundle_id!r} has had a key {key_id!r} of team {team_id!r}: choose another key id")
    return stored


async def list_keys(conn: asyncpg.Connection) -> list[KnownKey]:
    """Every key, the oldest first."""
    return [KnownKey(*row) for row in await conn.fetch(_LIST)]


async def revoke_key(conn: asyncpg.Connection, *, tenant: str, key: str) -> int:
    """Revoke by our id or by key id, for every app that has it; how many ended now. Misconfigured for unknown ones."""
    row = await conn.fetchrow(_REVOKE, tenant, key)
    if not row["found"]:
        raise Misconfigured(f"tenant {tenant!r} has no key {key!r}: `carillon apns-keys list` shows them")
    return int(row["ended"])


def _pem(key: ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
