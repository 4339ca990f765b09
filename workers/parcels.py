"""What a worker holds of a message: the envelope, and which of its deliveries are not settled yet.

A message is acknowledged when the last of its deliveries is settled, never before; how they are settled is not
known here.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol
from uuid import UUID

from plumbing.broker.envelope import Envelope
from plumbing.failpoints import Failpoint, reach


class Acknowledgeable(Protocol):
    """A message as it arrived."""

    async def ack(self) -> None:
        """Done with it; on a connection that died meanwhile this does nothing."""


@dataclass(eq=False, slots=True)
class Parcel:
    """One message being worked off; `arrived_s` is the loop's time."""

    envelope: Envelope
    message: Acknowledgeable
    arrived_s: float
    open_ids: set[UUID] = field(init=False)

    def __post_init__(self) -> None:
        self.open_ids = set(self.envelope.delivery_ids)

    def pieces(self) -> list["Piece"]:
        """Its deliveries, each once."""
        return [Piece(delivery, self) for delivery in dict.fromkeys(self.envelope.delivery_ids)]

    def part(self, ids: list[UUID]) -> Envelope:
        """An envelope of some of its deliveries, under the same outbox row."""
        return Envelope(self.envelope.id, self.envelope.tenant_id, self.envelope.lane, tuple(ids))


class Piece(NamedTuple):
    """One delivery of a parcel."""

    id: UUID
    parcel: Parcel


async def settle(pieces: list[Piece]) -> None:
    """Note that nothing more is to be done for these, and acknowledge the messages of which they were the last."""
    done: dict[int, Parcel] = {}
    for piece in pieces:
        open_ids = piece.parcel.open_ids
        if piece.id in open_ids:
            open_ids.discard(piece.id)
            if not open_ids:
                done[id(piece.parcel)] = piece.parcel
    if done:
        reach(Failpoint.WORKER_BEFORE_ACK)
        for parcel in done.values():
            await parcel.message.ack()  # never waits: acknowledgements gather


def by_parcel(pieces: list[Piece]) -> list[tuple[Parcel, list[UUID]]]:
    """The pieces' ids, gathered by the message that brought them."""
    gathered: dict[int, tuple[Parcel, list[UUID]]] = {}
    for piece in pieces:
        gathered.setdefault(id(piece.parcel), (piece.parcel, []))[1].append(piece.id)
    return list(gathered.values())
