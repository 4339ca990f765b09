"""Hints to gateways: letters lie in a mailbox, a push is to be taken back, a device is to log in again.

They may be lost.
A gateway asks every 20 s by itself which of its devices have something waiting: a hint only makes that sooner.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from channels.push import wire
from channels.push.gateway.codes import CloseCode
from channels.push.letters import Letter
from channels.push.presence import Presence
from channels.push.routing import wants_hint
from plumbing.failpoints import Failpoint, reach


class Nodes(Protocol):
    """The way to gateway nodes."""

    async def publish_to_node(self, queue_name: str, bodies: Sequence[bytes]) -> list[bool]:
        """Per body, whether the node's queue has it."""

    async def publish_to_all_nodes(self, body: bytes) -> bool:
        """Tell every node."""


async def announce(nodes: Nodes, presence: Presence, letters: Sequence[Letter], *, now: datetime) -> None:
    """Letters (at most 5,000) lie in their mailboxes, committed: whoever has connected meanwhile is told to look.

    Without Redis every gateway is told. A device that naps is not waked, nor anybody for a letter that is not due.
    """
    devices = sorted({letter.device_id for letter in letters})
    if not devices:
        return
    reach(Failpoint.PUSH_BEFORE_HINT)
    places = await presence.where(devices)
    if places is None:
        await nodes.publish_to_all_nodes(wire.encode_drain(devices))
        return
    by_queue: defaultdict[str, set[UUID]] = defaultdict(set)
    for letter in letters:
        place = places.get(letter.device_id)
        if place is not None and wants_hint(letter, place, now=now):
            by_queue[place.queue].add(letter.device_id)
    await asyncio.gather(
        *(nodes.publish_to_node(queue, [wire.encode_drain(sorted(named))]) for queue, named in by_queue.items())
    )


async def dismiss(nodes: Nodes, presence: Presence, device_ids: Iterable[UUID]) -> None:
    """These devices have another token, or were suspended or erased: they are to log in again, and are judged then.

    The code says *later*, not *never*: should the message come late, it meets a newer login that is right.
    """
    devices = sorted(device_ids)
    for start in range(0, len(devices), wire.MAX_NAMED):
        some = devices[start : start + wire.MAX_NAMED]
        places = await presence.where(some)
        if places is None:
            await nodes.publish_to_all_nodes(_closing(some))
            continue
        by_queue: defaultdict[str, list[UUID]] = defaultdict(list)
        for device, place in places.items():
            by_queue[place.queue].append(device)
        await asyncio.gather(*(nodes.publish_to_node(queue, [_closing(named)]) for queue, named in by_queue.items()))


def _closing(devices: Sequence[UUID]) -> bytes:
    return wire.encode_close([(device, int(CloseCode.LEAVING)) for device in devices])


async def withdraw(nodes: Nodes, deliveries: Iterable[tuple[UUID, UUID]]) -> None:
    """Ask every gateway to take `(device, delivery)` back; a device that is away has not got it."""
    waiting = sorted(deliveries)
    for start in range(0, len(waiting), wire.MAX_NAMED):
        by_device: defaultdict[UUID, list[UUID]] = defaultdict(list)
        for device, delivery in waiting[start : start + wire.MAX_NAMED]:
            by_device[device].append(delivery)
        await nodes.publish_to_all_nodes(wire.encode_withdraw(list(by_device.items())))
