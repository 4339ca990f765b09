"""Lanes: a lane is one channel at one priority, and has a queue, a share of the workers and a limit of its own.

Not to be confused with the *wake* of a push (10, 5 or 1), which tells a device how eagerly to wake up.
Codes are what PostgreSQL stores; they never change.
"""

from enum import StrEnum
from typing import NamedTuple, Self


class Channel(StrEnum):
    """A way to reach a person. RabbitMQ's channels are never called so here."""

    PUSH = "push"
    EMAIL = "email"
    SMS = "sms"
    IN_APP = "in_app"
    WEBHOOK = "webhook"

    @property
    def code(self) -> int:
        return _CHANNEL_CODES[self]

    @classmethod
    def of(cls, code: int) -> Self:
        return cls(_CHANNELS_BY_CODE[code])


class Priority(StrEnum):
    """How urgent a notification is, most urgent first."""

    CRITICAL = "critical"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"

    @property
    def code(self) -> int:
        return _PRIORITY_CODES[self]

    @classmethod
    def of(cls, code: int) -> Self:
        return cls(_PRIORITIES_BY_CODE[code])


_CHANNEL_CODES = {Channel.PUSH: 1, Channel.EMAIL: 2, Channel.SMS: 3, Channel.IN_APP: 4, Channel.WEBHOOK: 5}
_PRIORITY_CODES = {Priority.CRITICAL: 1, Priority.HIGH: 2, Priority.NORMAL: 3, Priority.LOW: 4}
_CHANNELS_BY_CODE = {code: channel for channel, code in _CHANNEL_CODES.items()}
_PRIORITIES_BY_CODE = {code: priority for priority, code in _PRIORITY_CODES.items()}

DECLARED_CHANNELS = (Channel.PUSH, Channel.EMAIL, Channel.SMS)
"""Channels whose queues exist."""

OPEN_CHANNELS = (Channel.EMAIL, Channel.SMS)
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
