"""Messages as the broker keeps them, and the headers it writes when it delivers again or gives up."""

import struct
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pamqp.commands import Basic
from pamqp.header import ContentHeader

MAX_BODY_BYTES = 16 * 1024 * 1024
_EXPIRATION_FLAG = 1 << 8


@dataclass(frozen=True, slots=True)
class Message:
    """One message; `header` is the content header's payload as the publisher wrote it."""

    exchange: str
    routing_key: str
    header: bytes
    body: bytes


@dataclass(slots=True)
class Stored:
    """A message's place in one queue. `expires_at` is on the event loop's clock, in seconds."""

    message: Message
    number: int
    expires_at: float | None = None
    delivery_count: int = 0
    is_redelivered: bool = False


def body_size(header: bytes) -> int:
    """How many bytes of body follow a content header. ValueError when it is cut short."""
    if len(header) < 14:
        raise ValueError("a content header of fewer than 14 bytes")
    return int(struct.unpack_from(">Q", header, 4)[0])


def has_expiration(header: bytes) -> bool:
    """Whether a message carries a time to live of its own: it would block those behind it."""
    return bool(struct.unpack_from(">H", header, 12)[0] & _EXPIRATION_FLAG)


def header_for_delivery(stored: Stored, *, counts: bool) -> bytes:
    """The content header to deliver; with x-delivery-count when the queue counts and it came before."""
    if not counts or not stored.delivery_count:
        return stored.message.header
    properties = _properties(stored.message.header)
    headers = {**(properties.headers or {}), "x-delivery-count": stored.delivery_count}
    return _header(properties, headers, len(stored.message.body))


def dead_lettered(message: Message, *, queue: str, reason: str, exchange: str, routing_key: str | None) -> Message:
    """The message as its dead-letter exchange gets it: x-death tells where it died, newest first."""
    properties = _properties(message.header)
    headers: dict[str, Any] = dict(properties.headers or {})
    headers.pop("x-delivery-count", None)
    earlier = headers.get("x-death")
    deaths = [death for death in earlier if isinstance(death, dict)] if isinstance(earlier, list) else []
    same = next((death for death in deaths if (death.get("queue"), death.get("reason")) == (queue, reason)), None)
    death: dict[str, Any] = {
        "count": int(same.get("count") or 0) + 1 if same else 1,
        "reason": reason,
        "queue": queue,
        "time": datetime.now(UTC),
        "exchange": message.exchange,
        "routing-keys": [message.routing_key],
    }
    headers["x-death"] = [death, *(other for other in deaths if other is not same)]
    headers.setdefault("x-first-death-reason", reason)
    headers.setdefault("x-first-death-queue", queue)
    headers.setdefault("x-first-death-exchange", message.exchange)
    return replace(
        message,
        exchange=exchange,
        routing_key=message.routing_key if routing_key is None else routing_key,
        header=_header(properties, headers, len(message.body)),
    )


def _properties(header: bytes) -> Basic.Properties:
    content_header = ContentHeader()
    content_header.unmarshal(header)
    return content_header.properties


def _header(properties: Basic.Properties, headers: dict[str, Any], size_bytes: int) -> bytes:
    properties.headers = headers
    return ContentHeader(body_size=size_bytes, properties=properties).marshal()
