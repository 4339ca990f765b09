"""What was sent over a connection and not acknowledged yet; nothing goes out twice. Pure."""

from typing import NamedTuple

from channels.push.gateway.actions import Push
from channels.push.gateway.recent import UNKNOWN, Recent
from domain.push import MAX_LIVE as MAX_LIVE

MAX_STORED = 50
"""The credit of a device: pushes from its mailbox in flight, and their bytes (the last one may exceed them)."""
MAX_STORED_BYTES = 64 * 1024
MAX_FOLDS = 32
"""Collapse ids of which the newest push is remembered."""


class Flown(NamedTuple):
    """One push in flight; `at` in seconds of the caller's clock."""

    is_live: bool
    wake: int
    size_bytes: int
    at: float
    place: int


class Flight:
    """The pushes in flight over one connection, by delivery id."""

    __slots__ = ("_folds", "_recent", "_stored", "_stored_bytes", "flying")

    def __init__(self) -> None:
        self.flying: dict[bytes, Flown] = {}
        self._recent = Recent()
        self._folds: dict[str, bytes] | None = None
        self._stored = 0
        self._stored_bytes = 0

    @property
    def credit(self) -> int:
        """How many pushes from the mailbox are worth asking for: none before half of the credit is free again."""
        is_free = 2 * self._stored <= MAX_STORED and 2 * self._stored_bytes <= MAX_STORED_BYTES
        return MAX_STORED - self._stored if is_free else 0

    @property
    def has_credit(self) -> bool:
        """Whether one more push from the mailbox may go out."""
        return self._stored < MAX_STORED and self._stored_bytes < MAX_STORED_BYTES

    @property
    def has_room(self) -> bool:
        """Whether one more live push may go out."""
        return len(self.flying) - self._stored < MAX_LIVE

    def known_code(self, delivery: bytes) -> int | None:
        """None for an id that never went out here; else its code, 0 while it is in flight or was taken back."""
        place = self._recent.find(delivery)
        return None if place == UNKNOWN else self._recent.code(place)

    def newer(self, delivery: bytes, collapse_id: str | None) -> bytes | None:
        """The id, greater than this one, that has gone out with the same collapse id."""
        newest = self._folds.get(collapse_id) if self._folds and collapse_id is not None else None
        return newest if newest is not None and newest > delivery else None

    def begin(self, push: Push, *, is_live: bool, now: float) -> bytes | None:
        """This push goes out. Answers the older live one of its collapse id that it replaces in flight."""
        size_bytes = len(push.text)
        place = self._recent.add(push.delivery)
        self.flying[push.delivery] = Flown(is_live, push.wake, size_bytes, now, place)
        if not is_live:
            self._stored += 1
            self._stored_bytes += size_bytes
        if push.collapse_id is None:
            return None
        older = self._fold(push.collapse_id, push.delivery)
        if older is None or older not in self.flying or not self.flying[older].is_live:
            return None
        self.drop(older)
        return older

    def settle(self, delivery: bytes, code: int) -> Flown | None:
        """The device acknowledged it with `code`; None when it is not in flight here."""
        flown = self.drop(delivery)
        if flown is not None:
            self._recent.acknowledge(flown.place, delivery, code)
        return flown

    def drop(self, delivery: bytes) -> Flown | None:
        """Wait for it no longer: it was withdrawn, replaced or acknowledged."""
        flown = self.flying.pop(delivery, None)
        if flown is None:
            return None
        if not flown.is_live:
            self._stored -= 1
            self._stored_bytes -= flown.size_bytes
        return flown

    def _fold(self, collapse_id: str, delivery: bytes) -> bytes | None:
        """Note the newest of its collapse id, of a few; answers the one before it."""
        if self._folds is None:
            self._folds = {}
        older = self._folds.pop(collapse_id, None)
        self._folds[collapse_id] = delivery
        if len(self._folds) > MAX_FOLDS:
            del self._folds[next(iter(self._folds))]
        return older
