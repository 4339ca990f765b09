"""Short ways to say what a test needs: senders, requests, items. Every default is valid; tests name what matters."""

from hashlib import blake2b
from typing import Any
from uuid import UUID

from domain.ids import uuid7
from domain.lanes import Channel
from domain.notification import Content, Mode, NotificationRequest, Recipient
from fanout.cases import IdempotencyKey, Item, Sender

EMAIL_ONLY = (Channel.EMAIL,)
SECRET_KEY = "for tests only: thirty-two bytes or more"


def a_sender(tenant: UUID, mode: Mode = Mode.LIVE) -> Sender:
    """A key of this tenant that nobody used yet."""
    return Sender(tenant, mode, uuid7(), "cn_live_abc")


def a_key(name: str, body: str = "same") -> IdempotencyKey:
    """The Idempotency-Key `name`, come with this body."""
    return IdempotencyKey(_hash(name), _hash(body))


def a_request(to: Recipient | str = "someone@example.com", **wishes: Any) -> NotificationRequest:
    """A request with words of its own, by email, to an address alone unless `to` says otherwise."""
    recipient = Recipient(email=to) if isinstance(to, str) else to
    defaults: dict[str, Any] = {"content": Content(title="Hello", body="A few words."), "channels": EMAIL_ONLY}
    return NotificationRequest(recipient, **{**defaults, **wishes})


def an_item(sender: Sender, key: IdempotencyKey | None = None, **wishes: Any) -> Item:
    """An item of this sender."""
    return Item(sender, a_request(**wishes), key)


def _hash(text: str) -> UUID:
    return UUID(bytes=blake2b(text.encode(), digest_size=16).digest())
