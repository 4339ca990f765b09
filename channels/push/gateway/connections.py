"""Who is connected to this node: by device, and in slots that are looked after in turn. No timers of their own."""

import random
from collections.abc import Iterator, Sequence
from uuid import UUID

from channels.push.gateway.codes import CloseCode, come_again
from channels.push.gateway.link import Link
from channels.push.gateway.session import State
from channels.push.presence import Entry

SLOTS = 20
"""Each tick looks after one slot: at 20 ticks a second, everybody has a turn once a second."""
GHOSTED = "the device has logged in elsewhere"


class Connections:
    """The links of a node. A link is here from its handshake to its end, under its device once that is known."""

    def __init__(self) -> None:
        self._slots: list[set[Link]] = [set() for _ in range(SLOTS)]
        self._by_device: dict[bytes, Link] = {}
        self._next = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def devices(self) -> int:
        """Devices that are logged in."""
        return len(self._by_device)

    def __iter__(self) -> Iterator[Link]:
        for slot in self._slots:
            yield from list(slot)

    def join(self, link: Link) -> None:
        """A handshake is over."""
        link.slot = self._next
        self._next = (self._next + 1) % SLOTS
        self._slots[link.slot].add(link)
        self._count += 1

    def log_in(self, link: Link, device: UUID) -> None:
        """It is this device's; an older connection of it is a ghost from now on, and ends."""
        link.device = device
        ghost = self._by_device.get(device.bytes)
        self._by_device[device.bytes] = link
        if ghost is not None and ghost is not link:
            ghost.close(CloseCode.GHOSTED, GHOSTED)

    def leave(self, link: Link) -> bool:
        """It is gone. Whether its device has no other connection here."""
        if link in self._slots[link.slot]:
            self._slots[link.slot].discard(link)
            self._count -= 1
        if link.device is None or self._by_device.get(link.device.bytes) is not link:
            return False
        del self._by_device[link.device.bytes]
        return True

    def of(self, device: bytes) -> Link | None:
        """The connection of a device, by the 16 bytes of its id."""
        return self._by_device.get(device)

    def is_current(self, link: Link) -> bool:
        """Whether this is the connection of its device here."""
        return link.device is not None and self._by_device.get(link.device.bytes) is link

    def logged_in(self, slot: int | None = None) -> list[Link]:
        """The links of devices, of one slot or of all."""
        links = self if slot is None else self._slots[slot]
        return [link for link in links if link.session.state is State.OPEN and self.is_current(link)]

    def tick(self, slot: int, now: float) -> None:
        """Look after those of a slot that are due."""
        for link in [link for link in self._slots[slot] if link.session.due_at <= now]:
            link.act(link.session.tick(now))

    def wave(self, count: int, longest_s: float) -> None:
        """Ask `count` devices, taken at random, to come again elsewhere, at a time of their own within `longest_s`."""
        staying = [link for link in self if link.session.state is not State.CLOSING]
        for link in random.sample(staying, min(count, len(staying))):
            link.close(CloseCode.LEAVING, come_again(random.uniform(0.1, longest_s)))


def entries_of(links: Sequence[Link]) -> list[Entry]:
    """The links of devices, as presence knows them."""
    return [Entry(link.device, link.connection, link.session.is_napping) for link in links if link.device is not None]
