"""Reports that an SMS provider sends later: signed as Standard Webhooks, read into receipts. Both sides import it."""

import hmac
import json
from base64 import b64decode, b64encode
from binascii import Error as BadBase64
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from channels.base import shorten
from domain.errors import Fault, RequestRefused
from domain.reasons import Reason
from domain.receipts import Receipt, ReceiptKind
from plumbing.log import without_secrets

TOLERANCE_S = 300
"""A report older or younger than this is refused: it may be a replay."""

PROVIDER = "sms"

_KINDS = {
    "delivered": ReceiptKind.DELIVERED,
    "undelivered": ReceiptKind.FAILED,
    "failed": ReceiptKind.FAILED,
    "rejected": ReceiptKind.FAILED,
    "expired": ReceiptKind.FAILED,
    "bounced": ReceiptKind.BOUNCED,
}
_ON_THE_WAY = frozenset({"accepted", "queued", "sending", "sent"})


def sign(body: bytes, secret: str, *, message_id: str, now: datetime) -> dict[str, str]:
    """The three headers of a signed message (standardwebhooks.com, symmetric signature `v1`)."""
    stamp = str(int(now.timestamp()))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + _signature(body, secret, message_id, stamp),
    }


def verify(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> bool:
    """Whether `body` was signed with `secret` within 5 minutes of `now`. `headers` have lower-case names.

    Several signatures may stand beside each other (while a secret is being changed); one good one is enough.
    """
    message_id = headers.get("webhook-id", "")
    stamp = headers.get("webhook-timestamp", "")
    if not message_id or "." in message_id or len(stamp) > 12 or not (stamp.isascii() and stamp.isdigit()):
        return False
    if abs(now.timestamp() - int(stamp)) > TOLERANCE_S:
        return False
    expected = _signature(body, secret, message_id, stamp).encode()
    given = headers.get("webhook-signature", "").split(" ")[:8]
    fits = [hmac.compare_digest(each.removeprefix("v1,").encode(), expected) for each in given if each[:3] == "v1,"]
    return any(fits)


def parse(body: bytes, *, now: datetime) -> Receipt | None:
    """Read `{message_id, reference, status, error}`; None for a state on the way that needs no receipt.

    RequestRefused (422) for anything that is not such a report.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _unreadable("", "not JSON") from error
    if not isinstance(document, dict):
        raise _unreadable("", "not an object")
    status = document.get("status")
    if not isinstance(status, str) or (status not in _KINDS and status not in _ON_THE_WAY):
        raise _unreadable("/status", f"not one of {', '.join(sorted(_ON_THE_WAY | _KINDS.keys()))}")
    message_id, delivery_id = _identifiers(document)
    if status in _ON_THE_WAY:
        return None
    kind = _KINDS[status]
    return Receipt(
        provider=PROVIDER,
        kind=kind,
        at=now,
        delivery_id=delivery_id,
        provider_id=message_id,
        reason=None if kind is ReceiptKind.DELIVERED else Reason.UNDELIVERED,
        detail=without_secrets(shorten(str(document.get("error") or ""))),
    )


def _identifiers(document: dict[str, object]) -> tuple[str | None, UUID | None]:
    message_id, reference = document.get("message_id"), document.get("reference")
    if message_id is not None and not (isinstance(message_id, str) and 0 < len(message_id) <= 200):
        raise _unreadable("/message_id", "not a text of 1 to 200 characters")
    if message_id is not None and not message_id.isprintable():
        raise _unreadable("/message_id", "holds control characters")
    try:
        delivery_id = UUID(reference) if isinstance(reference, str) and reference else None
    except ValueError as error:
        raise _unreadable("/reference", "not one of our references") from error
    if message_id is None and delivery_id is None:
        raise _unreadable("", "neither message_id nor reference")
    return message_id, delivery_id


def _unreadable(pointer: str, detail: str) -> RequestRefused:
    return RequestRefused("unreadable_callback", detail, faults=(Fault(pointer, detail),))


def _signature(body: bytes, secret: str, message_id: str, stamp: str) -> str:
    signed = b".".join((message_id.encode(), stamp.encode(), body))
    return b64encode(hmac.new(_key(secret), signed, sha256).digest()).decode()


def _key(secret: str) -> bytes:
    if secret.startswith("whsec_"):
        try:
            return b64decode(secret.removeprefix("whsec_"), validate=True)
        except BadBase64 as error:
            raise ValueError("CARILLON_SMS_CALLBACK_SECRET starts with whsec_ and is not base64 after it") from error
    return secret.encode()
