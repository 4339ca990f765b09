"""What only this house can make: keyed hashes of addresses, signed tokens for links, and API keys."""

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b, sha256
from uuid import UUID

from domain.lanes import Channel
from domain.notification import Mode


class Seal:
    """Keyed hashing and signing with the platform's secret key (at least 32 bytes)."""

    def __init__(self, secret_key: str) -> None:
        if len(secret_key.encode()) < 32:
            raise ValueError("CARILLON_SECRET_KEY must have at least 32 bytes")
        self._address_key = blake2b(secret_key.encode(), digest_size=32, person=b"address").digest()
        self._token_key = blake2b(secret_key.encode(), digest_size=32, person=b"token").digest()

    def address_key(self, tenant: UUID, channel: Channel, address: str) -> UUID:
        """128 bits by which an address can be found, also after it was erased."""
        text = b"\0".join((tenant.bytes, channel.encode(), address.encode()))
        return UUID(bytes=blake2b(text, digest_size=16, key=self._address_key).digest())

    def sign(self, purpose: str, payload: bytes) -> str:
        """A URL-safe token that carries `payload` and cannot be forged for another purpose."""
        mac = blake2b(payload, digest_size=16, key=self._token_key, person=purpose.encode()[:16]).digest()
        return urlsafe_b64encode(mac + payload).rstrip(b"=").decode()

    def open(self, purpose: str, token: str) -> bytes | None:
        """The payload of a token made by `sign`, or None for anything else; takes the same time for both."""
        try:
            raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            return None
        mac, payload = raw[:16], raw[16:]
        mine = blake2b(payload, digest_size=16, key=self._token_key, person=purpose.encode()[:16]).digest()
        return payload if hmac.compare_digest(mac, mine) else None


def new_api_key(mode: Mode) -> str:
    """A key of 256 random bits: `cn_live_…`, `cn_test_…` or `cn_team_…`. Shown once, kept only as a hash."""
    return f"cn_{mode}_{secrets.token_urlsafe(32)}"


def hash_api_key(key: str) -> bytes:
    """What is stored of a key. 256 random bits need no slow hash."""
    return sha256(key.encode()).digest()
