"""What only this house can make or read: keyed hashes, signed tokens for links, sealed secrets, API and app keys."""

import hmac
import os
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b, sha256
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.errors import Misconfigured
from domain.lanes import Channel
from domain.notification import Mode

APP_KEY_BEGINNING = "cn_app_"
_HEX = re.compile(r"[\da-fA-F]+", re.ASCII)
_KEY_ID_BYTES, _NONCE_BYTES = 4, 12


class Seal:
    """Keyed hashing and signing with the platform's secret key (at least 32 bytes)."""

    def __init__(self, secret_key: str) -> None:
        if len(secret_key.encode()) < 32:
            raise ValueError("CARILLON_SECRET_KEY must have at least 32 bytes")
        self._address_key = blake2b(secret_key.encode(), digest_size=32, person=b"address").digest()
        self._token_key = blake2b(secret_key.encode(), digest_size=32, person=b"token").digest()
        self._subject_key = blake2b(secret_key.encode(), digest_size=32, person=b"subject").digest()
        self._device_key = blake2b(secret_key.encode(), digest_size=32, person=b"device").digest()

    def address_key(self, tenant: UUID, channel: Channel, address: str) -> UUID:
        """128 bits by which an address can be found, also after it was erased."""
        text = b"\0".join((tenant.bytes, channel.encode(), address.encode()))
        return UUID(bytes=blake2b(text, digest_size=16, key=self._address_key).digest())

    def subject_key(self, tenant: UUID, user: str) -> UUID:
        """128 bits by which the erasure of a user can be found, though nothing else of the user is left."""
        text = b"\0".join((tenant.bytes, b"user", user.encode()))
        return UUID(bytes=blake2b(text, digest_size=16, key=self._subject_key).digest())

    def token_hash(self, token: str) -> bytes:
        """32 bytes by which a device's token is known, whatever the app; the token itself is kept nowhere.

        Hexadecimal ones are the same in capitals. What is no text at all (half a surrogate pair) is nobody's token.
        """
        text = token.lower() if _HEX.fullmatch(token) else token
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=32, key=self._device_key).digest()

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


class Box:
    """Secrets of others that must be read again: AES-256-GCM, bound to their tenant.

    What it makes is the id of the key (4 bytes), a nonce (12 bytes), the ciphertext and its tag (16 bytes).
    """

    def __init__(self, secret_key: str) -> None:
        key = blake2b(secret_key.encode(), digest_size=32, person=b"box").digest()
        self._key_id = blake2b(key, digest_size=_KEY_ID_BYTES, person=b"key id").digest()
        self._cipher = AESGCM(key)

    def seal(self, tenant: UUID, secret: bytes) -> bytes:
        """`secret` as only this tenant's rows may hold it; equal secrets look different."""
        nonce = os.urandom(_NONCE_BYTES)
        return self._key_id + nonce + self._cipher.encrypt(nonce, secret, tenant.bytes)

    def open(self, tenant: UUID, sealed: bytes) -> bytes:
        """The secret again. Misconfigured for another key, for another tenant's, and for what was altered."""
        if sealed[:_KEY_ID_BYTES] != self._key_id:
            raise Misconfigured("a stored secret was sealed with another CARILLON_SECRET_KEY: set that one again")
        nonce, rest = sealed[_KEY_ID_BYTES:][:_NONCE_BYTES], sealed[_KEY_ID_BYTES + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, rest, tenant.bytes)
        except (InvalidTag, ValueError) as error:
            raise Misconfigured("a stored secret was altered, or is another tenant's: it cannot be opened") from error


def new_api_key(mode: Mode) -> str:
    """A key of 256 random bits: `cn_live_…`, `cn_test_…` or `cn_team_…`. Shown once, kept only as a hash."""
    return f"cn_{mode}_{secrets.token_urlsafe(32)}"


def new_app_key() -> str:
    """A publishable key, `cn_app_…`: it stands in every copy of an app, so it may do very little."""
    return APP_KEY_BEGINNING + secrets.token_urlsafe(24)


def new_device_token() -> str:
    """32 random bytes as hexadecimal text, for a device that brings no token of its own."""
    return secrets.token_hex(32)


def hash_api_key(key: str) -> bytes:
    """What is stored of a key. 256 random bits need no slow hash."""
    return sha256(key.encode()).digest()
