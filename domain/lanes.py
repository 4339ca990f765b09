"""Lanes: a lane is one channel at one priority, and has a queue, a share of the workers and a limit of its own.

Not to be confused with the *wake* of a push (10, 5 or 1), which tells a device how eagerly to wake up.
Codes are what PostgreSQL stores; they never change.
"""

from typing import NamedTuple, Self

from domain.codes import CodedEnum


class Channel(CodedEnum):
    """A way to reach a person. RabbitMQ's channels are never called so here."""

    PUSH = "push", 1
    EMAIL = "email", 2
    SMS = "sms", 3
    IN_APP = "in_app", 4
    WEBHOOK = "webhook", 5


class Priority(CodedEnum):
    """How urgent a notification is, most urgent first."""

    CRITICAL = "critical", 1
    HIGH = "high", 2
    NORMAL = "normal", 3
    LOW = "low", 4


DECLARED_CHANNELS = (Channel.PUSH, Channel.EMAIL, Channel.SMS)
"""Channels whose queues exist."""

OPEN_CHANNELS = (Channel.PUSH, Channel.EMAIL, Channel.SMS)
"""Channels that can be asked for today; the others answer `not_available_yet`."""

ENVELOPE_SIZES = {Channel.PUSH: 500, Channel.EMAIL: 20, Channel.SMS: 10, Channel.WEBHOOK: 20, Channel.IN_APP: 500}
"""At most so many deliveries travel in one message: each envelope is worked off well within its lease."""


class Lane(NamedTuple):
    """One channel at one priority; written `email.high`, which is also its routing key."""

    channel: Channel
    priority: Priority

    def __str__(self) -> str:
        return f"{self.channel}.{self.priority}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The lane written as `email.high`; ValueError for anything else."""
        channel, _, priority = text.partition(".")
        return cls(Channel(channel), Priority(priority))


DECLARED_LANES = tuple(Lane(channel, priority) for channel in DECLARED_CHANNELS for priority in Priority)
