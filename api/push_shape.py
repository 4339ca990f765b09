"""The shape of a push: `content.push` of a notification, and the whole request of the device route."""

from collections.abc import Mapping
from typing import Any

from api.fields import Fields
from domain.notification import PushParts
from domain.payload import encode, faults_of, with_alert
from domain.push import MAX_COLLAPSE_BYTES, MAX_PAYLOAD_BYTES, Wake

TOO_LARGE = "payload_too_large"


def read_push(content: Fields, *, title: str | None, body: str | None) -> PushParts | None:
    """`content.push`, as the device will get it: an alert that is missing is made from title and body."""
    push = content.object("push")
    if push is None:
        return None
    given = {name: value for name in _MEMBERS if (value := push.take(name)) is not None}
    wake = read_wake(push, "wake")
    push.end()
    before = len(content.faults)
    for name in ("aps", "data"):
        if name in given and not isinstance(given[name], dict):
            push.fault(name, "must be an object")
    if len(content.faults) > before:
        return None
    payload = with_alert(given, title, body)
    if not payload.get("aps"):
        content.fault("push", "has no words: send aps, or a title or body beside it")
        return None
    check_payload(content, "push", payload)
    return PushParts(payload, wake)


_MEMBERS = ("aps", "data", "image_url", "actions")


def check_payload(fields: Fields, name: str, payload: Mapping[str, Any]) -> None:
    """Complain about what a device could not be sent, in the field `name`."""
    found = faults_of(payload)
    for pointer, detail in found:
        fields.faults.add(f"{fields.pointer}/{name}{pointer}", detail)
    if not found and (size_bytes := _size_bytes(payload)) > MAX_PAYLOAD_BYTES:
        detail = f"has {size_bytes} bytes as compact JSON, at most {MAX_PAYLOAD_BYTES} are allowed"
        fields.faults.named(TOO_LARGE, f"{fields.pointer}/{name}", detail)


def _size_bytes(payload: Mapping[str, Any]) -> int:
    """Of what the strict reader has taken; half a surrogate pair in a bulk request is complained about by it."""
    try:
        return len(encode(payload))
    except ValueError:
        return 0


def read_wake(fields: Fields, name: str) -> int | None:
    """10, 5 or 1; None when absent or wrong."""
    value = fields.take(name)
    if value is None or (type(value) is int and value in tuple(Wake)):
        return value
    fields.fault(name, "must be 10, 5 or 1")
    return None


def read_collapse_id(fields: Fields) -> str | None:
    """A collapse id of at most 64 bytes; None when absent or wrong."""
    text = fields.text("collapse_id", MAX_COLLAPSE_BYTES)
    if text is not None and len(text.encode()) > MAX_COLLAPSE_BYTES:
        fields.fault("collapse_id", f"has at most {MAX_COLLAPSE_BYTES} bytes in UTF-8")
    return text
