"""Signatures of what we tell outside, as Standard Webhooks 1.0.0 has them: `v1`, HMAC-SHA256 over id, time and body."""

import binascii
import hmac
import os
from base64 import b64decode, b64encode
from collections.abc import Sequence

BEGINNING = "whsec_"
_SECRET_BYTES = 32
_SHORTEST, _LONGEST = 24, 64


def new_secret() -> str:
    """A secret of 256 random bits, as its owner is shown it once."""
    return BEGINNING + b64encode(os.urandom(_SECRET_BYTES)).decode()


def read_secret(text: str) -> bytes:
    """The bytes of a secret. ValueError when it is not `whsec_` and 24 to 64 bytes in base64."""
    encoded = text.removeprefix(BEGINNING)
    try:
        secret = b64decode(encoded, validate=True) if encoded != text else b""
    except (binascii.Error, ValueError):
        secret = b""
    if not _SHORTEST <= len(secret) <= _LONGEST:
        raise ValueError(f"must be {BEGINNING} and {_SHORTEST} to {_LONGEST} bytes in base64")
    return secret


def sign(secrets: Sequence[bytes], message_id: str, unix_s: int, body: bytes) -> dict[str, str]:
    """The three headers of a message, signed with each of the secrets: while one is replaced there are two."""
    signed = f"{message_id}.{unix_s}.".encode() + body
    macs = (b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(unix_s),
        "webhook-signature": " ".join(f"v1,{mac}" for mac in macs),
    }
