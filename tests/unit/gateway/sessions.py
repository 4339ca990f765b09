"""Short ways to drive a session: what it is told, and what it answers."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from channels.push.gateway.actions import Action, Close, LookUp, Push, Report
from channels.push.gateway.drain import Read
from channels.push.gateway.session import Session
from channels.push.gateway.tally import Tally
from domain.ids import delivery_id, notification_id
from domain.receipts import ReceiptKind

HELLO = {"type": "hello", "app_key": "cn_app_x", "token": "t"}
DEVICE = uuid4()


def said(**frame: Any) -> bytes:
    return json.dumps(frame).encode()


def acks(*deliveries: bytes, code: int = 100) -> bytes:
    return said(type="ack", ids=[{"id": str(UUID(bytes=one)), "code": code} for one in deliveries])


def a_push(number: int | None = None, *, wake: int = 10, collapse_id: str | None = None, size: int = 0) -> Push:
    """A push; `number` orders it among others of a test."""
    made = delivery_id(notification_id(None if number is None else 1_700_000_000_000 + number), 1)
    text = json.dumps({"type": "notification", "id": str(made), "x": "x" * size}).encode()
    return Push(made.bytes, wake, collapse_id, text)


def greeted(now: float = 0.0, **hello: Any) -> tuple[Session, Tally]:
    """A session that waits for its look-up."""
    tally = Tally()
    session = Session(now, 15.0, tally)
    (wanted,) = session.received(said(**HELLO, **hello), now)
    assert isinstance(wanted, LookUp)
    return session, tally


def opened(now: float = 0.0, **hello: Any) -> tuple[Session, Tally]:
    """A session that is announced and has read an empty mailbox."""
    session, tally = greeted(now, **hello)
    session.admitted(DEVICE, "c1", ["ws://here"], now)
    assert reads(session.announced(now)) == [Read(None, 50, 1)]
    assert session.page([], now) == []
    return session, tally


def texts(actions: Sequence[Action]) -> list[bytes]:
    return [one for one in actions if isinstance(one, bytes)]


def reads(actions: Sequence[Action]) -> list[Read]:
    return [one for one in actions if isinstance(one, Read)]


def closing(actions: Sequence[Action]) -> int | None:
    return next((int(one.code) for one in actions if isinstance(one, Close)), None)


def reports(actions: Sequence[Action], kind: ReceiptKind | None = None) -> list[bytes]:
    return [one.delivery for one in actions if isinstance(one, Report) and (kind is None or one.kind is kind)]
