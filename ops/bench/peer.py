"""What sends in a benchmark, Carillon or a peer: one protocol, so that both do the same and are counted the same way.

A peer is opened as an async context (`PeerFactory`): entering starts all that it needs on loopback, leaving ends it.
Then once `prepare(recipients)`, and for each round, as `ops.bench.rounds.one_round` does it:

    await peer.begin()                          what is kept and heard from now on belongs to this round
    sent = await peer.send(wish)                by the public door; 1 to a request, or `wish.per_request`
    await peer.settled(sent, within_s=…)        until each accepted one has its final status, or the time is over
    kept, heard = await peer.kept(), await peer.heard()
    differences(sent, kept, heard)              ops.bench.agreement: nothing lost, nothing twice, or the round is void

An id is a text, the same in the answer of the door, in the database, and in what the sink received.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be sent: to recipients in turn, each its own notification. Without `per_s` as fast as it goes."""

    count: int
    connections: int = 64
    per_request: int = 1
    """1: a request for each. More: a bulk request, where there is such a door; else the best way that there is."""

    per_s: float | None = None
    """Notifications per second, each request at its time whatever became of the others."""

    within_s: float = 60.0
    """What was not asked by then is not asked any more."""


@dataclass(slots=True)
class Sent:
    """What became of a wish at the door. Times are monotonic seconds."""

    accepted: dict[str, float] = field(default_factory=dict)
    """id: when its request was sent."""

    refused: int = 0
    """Answered, and not taken."""

    unanswered: int = 0
    """Asked, and no answer came: it may have been taken or not."""

    unasked: int = 0
    """The deadline of the wish cut them off."""

    began_at: float = 0.0
    answered_at: float = 0.0
    """When the last answer came."""

    words: str = ""
    """The door's words for the first refusal, for people."""


@dataclass(slots=True)
class Kept:
    """What the database has of this round."""

    statuses: dict[str, str] = field(default_factory=dict)
    """id: its status, of every notification that was written since `begin`, accepted or not."""

    final: frozenset[str] = frozenset({"delivered"})
    """The statuses that say that the sink has it."""

    last_at: float = 0.0
    """When the last of them got the status it has, epoch seconds, by the database's own column."""


@dataclass(slots=True)
class Heard:
    """What the sink received in this round, by its own account."""

    at: dict[str, float] = field(default_factory=dict)
    """id: when it came first, monotonic seconds (the same clock in all processes of a machine)."""

    twice: int = 0
    """How many came again."""


class Peer(Protocol):
    """One of those that send."""

    @property
    def name(self) -> str:
        """As the table's column is called."""

    @property
    def pids(self) -> Mapping[str, int]:
        """Role → the process that it began with; its children are counted with it (`ops.bench.accounting`)."""

    async def versions(self) -> dict[str, str]:
        """Program or library → version, of what runs."""

    async def prepare(self, recipients: int) -> None:
        """Make the recipients known, connect the sink; once, before the first round."""

    async def begin(self) -> None:
        """A round begins: forget what was heard, and remember where the database is."""

    async def send(self, wish: Wish) -> Sent:
        """Ask for all of it by the public door, and take the answers."""

    async def settled(self, sent: Sent, *, within_s: float) -> bool:
        """Wait until every accepted one has its final status and the sink has it; False when the time was over."""

    async def kept(self) -> Kept:
        """What the database has of this round."""

    async def heard(self) -> Heard:
        """What the sink received in this round."""


PeerFactory = Callable[[Path], AbstractAsyncContextManager[Peer]]
"""Opens a peer whose data and logs lie in the folder, empty, which the caller removes afterwards."""
