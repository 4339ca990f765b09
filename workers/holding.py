"""Ends of pushes that nothing waits for, held for a moment: for company, and for their devices' acknowledgements.

Pure but for the clock of its caller: it holds and tells what is due. Only push is held: a device knows what it was sent
by its id, so a crash in the moment costs a second copy that nobody sees. An email twice is an email twice.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from domain.delivery import DeliveryStatus
from domain.lanes import Channel
from domain.receipts import Receipt, ReceiptKind
from workers.endings import Ending
from workers.parcels import Parcel, Piece

GATHER_S = 0.05
"""So long the first of a batch waits for others."""

ACK_S = 0.1
"""So long a live push waits for its device's acknowledgement."""

MOST = 2000
MOST_MESSAGES = 128
"""With so many deliveries, or messages of the broker, everything is due at once: prefetch is 256."""

Told = Callable[[bool], None]
"""Is told, once the end is written, whether the receipt was written with it; else apply it as any other."""

_HELD = frozenset({DeliveryStatus.SENT, DeliveryStatus.STORED})


@dataclass(eq=False, slots=True)
class Ended:
    """An ending, the messages that wait for it (none in quarantine), and receipts that met it before it was written.

    `ack` is the one that is written with it. `since_s` is the loop's time, `is_begun`: being written.
    """

    ending: Ending
    pieces: list[Piece] = field(default_factory=list)
    since_s: float = 0.0
    is_begun: bool = False
    ack: Receipt | None = None
    ack_told: Told | None = None
    others_told: list[Told] | None = None

    @property
    def may_wait(self) -> bool:
        """Whether nothing is lost by writing it a moment later: a push that was handed over or is to be kept."""
        finished = self.ending.finished
        return finished is not None and finished.status in _HELD and self.ending.claimed.channel is Channel.PUSH

    @property
    def is_plain(self) -> bool:
        """Whether it was sent and nothing else: the one statement's case."""
        finished = self.ending.finished
        return finished is not None and finished.status is DeliveryStatus.SENT


class Holding:
    """Pushes whose ends are not written yet: held, due, or being written."""

    def __init__(self) -> None:
        self._held: dict[UUID, Ended] = {}
        self._unwritten: dict[UUID, Ended] = {}
        self._messages: dict[Parcel, int] = {}

    def __len__(self) -> int:
        """How many are held."""
        return len(self._held)

    def __contains__(self, ended: Ended) -> bool:
        """Whether another attempt at the same delivery is unwritten: this process was frozen past its lease."""
        return ended.ending.claimed.id in self._unwritten

    def add(self, ended: Ended, now_s: float) -> None:
        """Hold one."""
        ended.since_s = now_s
        delivery = ended.ending.claimed.id
        self._held[delivery] = self._unwritten[delivery] = ended
        for piece in ended.pieces[:1]:
            self._messages[piece.parcel] = self._messages.get(piece.parcel, 0) + 1

    @property
    def is_full(self) -> bool:
        """Whether everything is due now."""
        return len(self._held) >= MOST or len(self._messages) >= MOST_MESSAGES

    def meet(self, receipt: Receipt, told: Told) -> bool:
        """Join a receipt to the end that it speaks of; False when that is not here, or of another device.

        Only an acknowledgement is written with its end. Anything else (the device was not there after all) comes
        after it.
        """
        one = self._unwritten.get(receipt.delivery_id) if receipt.delivery_id is not None else None
        if one is None or receipt.device_id not in (None, one.ending.claimed.address_id):
            return False
        is_ack = receipt.kind is ReceiptKind.DELIVERED and receipt.reason is None
        if is_ack and one.is_plain and one.ack is None and not one.is_begun:
            one.ack, one.ack_told = receipt, told
        else:
            one.others_told = [*(one.others_told or ()), told]
        return True

    def due(self, now_s: float, *, is_all: bool = False) -> list[Ended]:
        """Hold no longer what is to be written: acknowledged, to be kept, waited long enough, or met by a receipt."""
        everything = is_all or self.is_full
        due = [one for one in self._held.values() if everything or _is_due(one, now_s)]
        for one in due:
            del self._held[one.ending.claimed.id]
            for piece in one.pieces[:1]:
                left = self._messages.pop(piece.parcel) - 1
                if left:
                    self._messages[piece.parcel] = left
        return due

    def end(self, ended: Ended, *, is_written: bool) -> None:
        """Forget one whose write is over; those whose receipts met it hear of it."""
        delivery = ended.ending.claimed.id
        if self._unwritten.get(delivery) is ended:
            del self._unwritten[delivery]
        if ended.ack_told is not None:
            ended.ack_told(is_written)
        for told in ended.others_told or ():
            told(False)


def _is_due(one: Ended, now_s: float) -> bool:
    return one.ack is not None or one.others_told is not None or not one.is_plain or now_s - one.since_s >= ACK_S
