"""Messages with receipts in them: read, divided between those who apply their parts, and acknowledged when all have."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from domain.errors import CarillonError
from domain.receipts import Receipt

_decode = msgspec.json.Decoder(Receipt | list[Receipt]).decode


class UnreadableReceipts(CarillonError):
    """The bytes are no receipts."""


class ReceiptMessage(Protocol):
    """A message with a receipt in it."""

    body: bytes

    async def ack(self) -> None:
        """Done with it."""

    async def reject_to_dead(self) -> None:
        """Let the broker bury it."""


@dataclass(eq=False, slots=True)
class Held:
    """A message, and those of its receipts that are not applied yet."""

    message: ReceiptMessage
    receipts: list[Receipt]
    is_many: bool = False
    waited: int = 0
    early: int = 0


class Met:
    """Those receipts of a message that joined the ends they speak of: how many are not written yet, and what is left.

    `finished` is called once, with this, when all of them were told.
    """

    def __init__(self, one: Held, finished: Callable[["Met"], None]) -> None:
        self.message = one.message
        self.is_many = one.is_many
        self.left: list[Receipt] = []
        self.written = 0
        self._open = 0
        self._finished = finished

    def begin(self, count: int, rest: list[Receipt]) -> Held | None:
        """So many joined; answers a message of its own for the `rest`, acknowledged when both parts are."""
        if rest and count:
            self.message = _Half(self.message)
        self._open = count
        return Held(self.message, rest, is_many=self.is_many) if rest else None

    def told(self, receipt: Receipt, is_written: bool) -> None:
        """Note what became of one."""
        self._open -= 1
        if is_written:
            self.written += 1
        else:
            self.left.append(receipt)
        if self._open == 0:
            self._finished(self)


class _Half:
    """A message of which two take their part."""

    def __init__(self, message: ReceiptMessage) -> None:
        self.body = message.body
        self._message = message
        self._is_other_done = False
        self._is_answered = False

    async def ack(self) -> None:
        """Done with one part."""
        if not self._is_other_done:
            self._is_other_done = True
        elif not self._is_answered:
            await self._message.ack()

    async def reject_to_dead(self) -> None:
        """Let the broker bury all of it: what was applied counts once."""
        self._is_answered = True
        await self._message.reject_to_dead()


def read_message(message: ReceiptMessage) -> Held:
    """The receipts in a message; UnreadableReceipts for everything else."""
    try:
        found = _decode(message.body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UnreadableReceipts(str(error)) from error
    return Held(message, [found]) if isinstance(found, Receipt) else Held(message, found, is_many=True)


def encode(receipt: Receipt) -> bytes:
    """A receipt as the body of its message."""
    return msgspec.json.encode(receipt)


def encode_many(receipts: Sequence[Receipt]) -> bytes:
    """Receipts, at most 500, as the body of one message."""
    return msgspec.json.encode(receipts)
