"""Known recipients in Redis, for five minutes, without names or addresses; the newest version stays.

A hint only: who uses an entry compares its version with PostgreSQL's.
"""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from uuid import UUID

import msgspec

from domain.notification import Recipient
from plumbing.cache import Cache, Script
from preferences.model import KnownRecipient

TTL_S = 300

PUT_IF_NEWER = Script("""
-- KEYS: entries. ARGV: seconds to live, then per entry its version and its bytes ("<version>:" and the rest).
for i, key in ipairs(KEYS) do
  local kept = redis.call('GET', key)
  local version = kept and tonumber(string.match(kept, '^(%d+):'))
  if not version or tonumber(ARGV[2 * i]) >= version then
    redis.call('SET', key, ARGV[2 * i + 1], 'EX', ARGV[1])
  end
end
return 1
""")

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(KnownRecipient)


def key(tenant: UUID, recipient: Recipient, *, slot: str | None = None) -> str:
    """Where a recipient is kept; the tenant is the hash tag. Ids, addresses and tokens are hashed.

    `slot` is that tag as it is written, for who asks for many.
    """
    user = recipient.user
    named = repr(_named(recipient)) if user is None else f"('u', {user!r})"  # the same words, at half the price
    digest = blake2b(named.encode(), digest_size=16, key=tenant.bytes).hexdigest()
    return f"{slot or slot_of(tenant)}:known:{digest}"


def slot_of(tenant: UUID) -> str:
    """What all keys of a tenant begin with, so that they lie together."""
    return f"{{t:{tenant}}}"


def _named(recipient: Recipient) -> tuple[str | None, ...]:
    """Who is meant, where it is no user."""
    if recipient.device_id is not None:
        return "d", recipient.device_id.hex
    if recipient.device_token is not None:
        return "t", recipient.device_token
    return "a", recipient.email, recipient.phone


def user_key(tenant: UUID, external_id: str) -> str:
    """Where a user is kept."""
    return key(tenant, Recipient(user=external_id))


def encode(known: KnownRecipient) -> bytes:
    """The entry's bytes, its version in front where Lua can read it. It names nobody: no gate asks for names."""
    return b"%d:" % known.version + _encoder.encode(replace(known, name=None, external_id=None))


def decode(blob: bytes) -> KnownRecipient | None:
    """The recipient of an entry; None for bytes of another release."""
    _, _, packed = blob.partition(b":")
    try:
        return _decoder.decode(packed)
    except msgspec.MsgspecError:
        return None


async def put(cache: Cache, tenant: UUID, known: Mapping[Recipient, KnownRecipient]) -> bool:
    """Keep what was loaded; whether Redis took it. What has no one version is not kept."""
    entries = {key(tenant, recipient): entry for recipient, entry in known.items() if entry.has_one_version}
    if not entries:
        return True
    args: list[object] = [TTL_S]
    for entry in entries.values():
        args += (entry.version, encode(entry))
    return await cache.call(PUT_IF_NEWER, list(entries), args) is not None
