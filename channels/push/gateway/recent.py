"""The last ids that went over a connection, in 17 bytes each: the gateway sends nothing twice over one connection."""

MAX_RECENT = 1000
UNKNOWN = -1
_ID_BYTES = 16


class Recent:
    """A ring of 16-byte ids with the code that each was acknowledged with (0: not yet). Allocates as it fills."""

    __slots__ = ("_codes", "_greatest", "_ids", "_next")

    def __init__(self) -> None:
        self._ids = bytearray()
        self._codes = bytearray()
        self._next = 0
        self._greatest = b""

    def add(self, delivery: bytes) -> int:
        """Remember an id and answer its place; the oldest of a full ring is forgotten."""
        self._greatest = max(self._greatest, delivery)
        place = self._next
        self._next = (place + 1) % MAX_RECENT
        if place == len(self._codes):
            self._ids += delivery
            self._codes.append(0)
        else:
            self._ids[place * _ID_BYTES : (place + 1) * _ID_BYTES] = delivery
            self._codes[place] = 0
        return place

    def find(self, delivery: bytes) -> int:
        """The place of an id, or UNKNOWN. Ids grow with time, so a new one is mostly known without looking."""
        if delivery > self._greatest:
            return UNKNOWN
        start = self._ids.find(delivery)
        while start >= 0 and start % _ID_BYTES:
            start = self._ids.find(delivery, start + 1)
        return start // _ID_BYTES if start >= 0 else UNKNOWN

    def code(self, place: int) -> int:
        """The code that the id at `place` was acknowledged with, or 0."""
        return self._codes[place]

    def acknowledge(self, place: int, delivery: bytes, code: int) -> None:
        """Note the code of `delivery`, if it still has this place."""
        if self._ids[place * _ID_BYTES : (place + 1) * _ID_BYTES] == delivery:
            self._codes[place] = code
