"""What every hand of a worker works with, given once at the start."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol
from uuid import UUID

import asyncpg

from channels.base import Outcome, Outgoing
from channels.budget import Grace
from channels.push.letters import Letter
from domain.clock import Clock, utc_now
from domain.lanes import Channel
from domain.notification import Mode
from plumbing.broker.publisher import Publisher
from tracking.claim import Claimed, Stale
from tracking.finish import Keep
from workers.held import Holds
from workers.mail import keep
from workers.tempo import Tempo


class Sending(Protocol):
    """The channels, as a worker needs them: a slice in, one outcome for each out, in order."""

    def timeout_s(self, channel: Channel) -> float:
        """How long a call takes at most: a lease lasts a little longer."""

    def room(self, channel: Channel) -> int:
        """How many sends could begin now without waiting for the provider's pace."""

    async def send(self, channel: Channel, mode: Mode, slice_: Sequence[Outgoing]) -> list[Outcome]:
        """Send; raises nothing but CancelledError."""

    def grace(self, channel: Channel, mode: Mode, outcome: Outcome) -> Grace:
        """What the provider's state means for a failure that may be tried again."""


@dataclass(frozen=True, slots=True)
class Crew:
    """Pools, channels and the rooms' answers that delivering needs."""

    pool: asyncpg.Pool
    publisher: Publisher
    sending: Sending
    compose: Callable[[Claimed], Awaitable[Outgoing]]
    """Renders a claimed delivery; raises Permanent when its words cannot be made, Unavailable when not now."""
    rejudge: Callable[[list[Stale]], Awaitable[set[UUID]]]
    """Decides again about deliveries whose judgement is stale; answers those that may go on."""
    may_repeat: Callable[[Claimed], Awaitable[bool]]
    """Whether the delivery's category takes a possible second copy over none, after an ambiguous outcome."""
    suppress: Callable[[Claimed], Awaitable[None]]
    """Puts a dead address on the suppression list."""
    announce: Callable[[Sequence[Letter]], Awaitable[None]]
    """Tells gateways that letters, committed, lie in the mailbox of a device that they may have."""
    keep: Keep = keep
    tempo: Tempo = field(default_factory=Tempo)
    holds: Holds = field(default_factory=Holds)
    """What operators have stopped."""
    clock: Clock = utc_now
    rng: Random = field(default_factory=Random)
