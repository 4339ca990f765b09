"""Idempotency-Key: read it, and hash it with its tenant and mode, and with what it came with (16 bytes each)."""

import json
from hashlib import blake2b
from typing import Any
from uuid import UUID

import msgspec

from domain.errors import RequestRefused
from domain.ids import uuid_of
from domain.notification import Mode
from fanout.cases import IdempotencyKey

LONGEST_KEY = 255
HEADER = "idempotency-key"

_encode = msgspec.json.Encoder(order="deterministic").encode


def read_key(
    header: str | None, tenant_id: UUID, mode: Mode, *, method: str, path: str, body: Any
) -> IdempotencyKey | None:
    """The key of a request, or None without one. RequestRefused(400) for an empty, overlong or unprintable one.

    What a test key sent never stands for what a live key sends: each mode has keys of its own.
    The body is fingerprinted in canonical form, so that the order of keys and white space make no other request.
    """
    if header is None:
        return None
    text = unquote(header)
    whose = b"\0".join((tenant_id.bytes, mode.encode(), text.encode()))
    key = blake2b(whose, digest_size=16, person=b"idempotency-key")
    fingerprint = blake2b(b"\0".join((method.encode(), path.encode(), _canonical(body))), digest_size=16)
    return IdempotencyKey(uuid_of(int.from_bytes(key.digest())), uuid_of(int.from_bytes(fingerprint.digest())))


def _canonical(body: Any) -> bytes:
    try:
        return _encode(body)
    except (UnicodeEncodeError, OverflowError, msgspec.MsgspecError):
        return json.dumps(body, sort_keys=True).encode()  # one bad item of a bulk request: half a surrogate pair


def unquote(header: str) -> str:
    """The key itself, which the draft writes as a quoted string and most senders bare. RequestRefused(400)."""
    text = header.strip(" \t")
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if not 1 <= len(text) <= LONGEST_KEY or not (text.isascii() and text.isprintable() and " " not in text):
        detail = f"Idempotency-Key has 1 to {LONGEST_KEY} visible ASCII characters, without spaces"
        raise RequestRefused("invalid_idempotency_key", detail, 400)
    return text


def refuse_key(header: str | None) -> None:
    """RequestRefused(422) on routes where a key would be accepted and ignored."""
    if header is not None:
        detail = "Idempotency-Key is taken where notifications are sent or published; it is not available yet here"
        raise RequestRefused("not_available_yet", detail)
