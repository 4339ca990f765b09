"""What a channel is: a slice of rendered deliveries goes in, one outcome for each comes out, in order.

A channel turns a provider's words into ours and decides nothing else. Retry, breaker and pace are put around it
by the registry; whether a delivery rests, fails or is held is decided by the worker.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from channels.push.letters import Letter
from domain.content import RenderedContent
from domain.errors import DeliveryFailure, Transient
from domain.lanes import Channel, Priority
from domain.notification import Mode
from domain.reasons import Reason
from domain.values import value


@value(frozen=True, slots=True)
class Outgoing:
    """One claimed and rendered delivery on its way out. `id` is the delivery's; providers get it as reference.

    `address` is an email address in ASCII form, a phone number in E.164 form, or for push a device's id; it is never
    logged. What follows `priority` is for push: until when, what it collapses with, and its app's silent pushes per
    device and hour.
    """

    id: UUID
    notification_id: UUID
    tenant_id: UUID
    attempt: int
    channel: Channel
    mode: Mode
    category: str
    address: str
    content: RenderedContent
    priority: Priority = Priority.NORMAL
    expires_at: datetime | None = None
    collapse_id: str | None = None
    silent_per_hour: int = 0


@value(frozen=True, slots=True)
class Sent:
    """The provider took it. `answer` is what it said, shortened, for people to read; `duration_ms` is wall time.

    With `ack_within_s` it is not over: heard of nothing more within so many seconds, it is sent again.
    """

    provider: str
    provider_id: str | None
    answer: str
    duration_ms: float
    ack_within_s: float | None = None


@value(frozen=True, slots=True)
class Stored:
    """Nobody was there to take it now: `letter` is to be kept, in the transaction that ends the attempt."""

    letter: Letter
    reason: Reason | None = None
    answer: str = ""


@value(frozen=True, slots=True)
class Lapsed:
    """It was for this moment only, and the moment is over."""

    reason: Reason
    answer: str = ""


Outcome = Sent | Stored | Lapsed | DeliveryFailure


class Blip(Transient):
    """A connection failed before anything of the message had left: the one failure that may be tried again at once."""


class ChannelPort(Protocol):
    """A way to hand deliveries to one provider.

    `send` answers for every item, in order, and raises nothing but CancelledError. `slice_size` is how many items it
    takes in one call; `timeout_s` bounds that call.
    """

    @property
    def channel(self) -> Channel: ...
    @property
    def provider(self) -> str: ...
    @property
    def slice_size(self) -> int: ...
    @property
    def timeout_s(self) -> float: ...

    async def open(self) -> None: ...
    async def send(self, slice_: Sequence[Outgoing]) -> list[Outcome]: ...
    async def close(self) -> None: ...


def shorten(text: str, limit: int = 200) -> str:
    """A provider's words on one printable line of at most `limit` characters, safe to keep and to show."""
    line = "".join(character if character.isprintable() else " " for character in text[: limit * 4])
    return " ".join(line.split())[:limit]
