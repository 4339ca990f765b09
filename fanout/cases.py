"""What travels through the gates: an item as the door hands it in, the case made of it, and the answer that leaves."""

from asyncio import Future
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from domain.clock import rfc3339
from domain.decision import Decision
from domain.delivery import DeliveryStatus
from domain.errors import RequestRefused
from domain.ids import NotificationId
from domain.lanes import Channel
from domain.notification import Mode, NotificationRequest, NotificationStatus
from domain.reasons import Reason
from domain.values import value
from plumbing.limiter import Answer
from preferences.model import Category, KnownRecipient
from templates.catalog import Message


@value(frozen=True, slots=True)
class Sender:
    """Whose key a request came with."""

    tenant_id: UUID
    mode: Mode
    key_id: UUID
    key_prefix: str


@value(frozen=True, slots=True)
class IdempotencyKey:
    """A client's Idempotency-Key, hashed with its tenant, and the fingerprint of what it came with (128 bits each)."""

    key: UUID
    fingerprint: UUID


@value(frozen=True, slots=True)
class Item:
    """One request of good shape, and who sends it. With a campaign it is one of many that one request made: the limit
    of its API key was asked for that one."""

    sender: Sender
    request: NotificationRequest
    key: IdempotencyKey | None = None
    campaign_id: UUID | None = None


@value(frozen=True, slots=True)
class PlannedDelivery:
    """One delivery as accept planned it; `until` says when a deferred one is due."""

    id: UUID
    channel: Channel
    address_id: UUID | None
    status: DeliveryStatus
    reason: Reason | None = None
    until: datetime | None = None

    def answer(self) -> dict[str, Any]:
        """The delivery as the API shows it in a 202; ids and words as they are, for an encoder that knows them."""
        shown: dict[str, Any] = {"id": self.id, "channel": self.channel, "status": self.status}
        if self.channel is Channel.PUSH and self.address_id is not None:
            shown["device_id"] = self.address_id
        if self.reason is not None:
            shown["reason"] = self.reason
        if self.until is not None:
            shown["until"] = rfc3339(self.until)
        return shown


@value(frozen=True, slots=True)
class Accepted:
    """The answer to one accepted request; a replay carries the first answer again.

    `limit` is what its API key has left, told with fresh answers only.
    """

    id: UUID
    status: NotificationStatus
    deliveries: tuple[PlannedDelivery, ...]
    reason: Reason | None = None
    duplicate_of: UUID | None = None
    replayed: bool = False
    limit: Answer | None = field(default=None, compare=False)

    def answer(self) -> dict[str, Any]:
        """The body of a 202, as those of its deliveries."""
        shown: dict[str, Any] = {"id": self.id, "status": self.status}
        if self.reason is not None:
            shown["reason"] = self.reason
        if self.duplicate_of is not None:
            shown["duplicate_of"] = self.duplicate_of
        shown["deliveries"] = [delivery.answer() for delivery in self.deliveries]
        return shown


@value(frozen=True, slots=True)
class BulkAccepted:
    """The answers to a bulk request, in its order."""

    results: Sequence[Accepted | RequestRefused]
    replayed: bool = False


class Fate(NamedTuple):
    """What becomes of one channel's deliveries, by what the gates decided."""

    status: DeliveryStatus
    reason: Reason | None = None
    until: datetime | None = None


@dataclass(slots=True, eq=False)
class Case:
    """One item on its way through the gates: what is known of it so far, and what was decided.

    Each gate fills in what the later ones need: words the category, message and channels, the recipient gate the
    recipient, verdicts the times, decisions and fates, the plan the deliveries. `gates_json` are the decisions as they
    are kept.
    """

    item: Item
    id: NotificationId
    answer: Future[Accepted]
    request: NotificationRequest = field(init=False)
    tenant_id: UUID = field(init=False)
    category: Category = field(init=False)
    message: Message | None = None
    channels: tuple[Channel, ...] = ()
    recipient: KnownRecipient = field(init=False)
    expires_at: datetime = field(init=False)
    recheck_at: datetime | None = None
    decisions: tuple[Decision, ...] = ()
    gates_json: bytes = b"[]"
    fates: Mapping[Channel, Fate] = field(init=False)
    deliveries: list[PlannedDelivery] = field(default_factory=list)
    duplicate_of: UUID | None = None
    has_waited: bool = False

    def __post_init__(self) -> None:  # each gate asks for these several times
        self.request = self.item.request
        self.tenant_id = self.item.sender.tenant_id

    def refuse(self, refusal: BaseException) -> None:
        """End this case with an error; the others of its batch go on."""
        if not self.answer.done():
            self.answer.set_exception(refusal)

    @property
    def is_open(self) -> bool:
        """Whether this case still waits for its answer."""
        return not self.answer.done()
