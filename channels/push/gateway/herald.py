"""Tells everybody who is connected here: announces logins, renews entries, says goodbye, and ends ghosts elsewhere."""

import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

import structlog

from channels.push.gateway.codes import CloseCode, come_again
from channels.push.gateway.connections import GHOSTED, SLOTS, Connections, entries_of
from channels.push.gateway.link import Link
from channels.push.presence import Entry, NodeFacts, Presence, Whereabouts
from channels.push.wire import encode_close

BEAT_S = 5.0
"""With 20 slots, one per beat, an entry is renewed every 100 s of the 300 s it lives."""
CONTESTED_S = 1.0
"""A login that finds a younger one waits so long; if its device is still here then, that one's clock was wrong."""

Tell = Callable[[str, Sequence[bytes]], Awaitable[list[bool]]]
"""Puts messages into the queue of a node."""
log = structlog.get_logger(__name__)


class Herald:
    """Keeps presence true for one life of a node."""

    def __init__(self, here: NodeFacts, presence: Presence, connections: Connections, tell: Tell) -> None:
        self._here = here
        self._presence = presence
        self._connections = connections
        self._tell = tell
        self._nodes: Sequence[NodeFacts] = [here]
        self._slot = 0
        self._is_behind = False
        """Redis missed something: all is renewed when it answers again."""
        self._contested: list[tuple[float, Link]] = []

    def gateways(self, region: str | None) -> list[str]:
        """Where a device of this region may connect: nodes of its own first, then the others.

        A node that came back is listed once, though its former life is known for some seconds more.
        """
        home = region or self._here.region
        nodes = sorted(self._nodes, key=lambda node: (node.region != home, node.node))
        return list(dict.fromkeys(node.url for node in nodes))

    async def announce(self, links: list[Link]) -> None:
        """These have logged in; from now on pushes find them, and their mailboxes are read."""
        here = [link for link in links if self._connections.is_current(link)]
        standing = await self._presence.renew(self._here, entries_of(here))
        if standing is None:
            self._is_behind = True
        now = time.monotonic()
        for link in here:
            link.act(link.session.announced(now))
            if standing is not None and link.device in standing.younger:
                self._contested.append((now + CONTESTED_S, link))
        if standing is not None:
            await self._end_ghosts(standing.older)

    async def leave(self, entries: list[Entry]) -> None:
        """These connections are gone."""
        await self._presence.leave(entries)

    async def beat(self) -> None:
        """This node lives, and so do a twentieth of its devices; all of them when Redis had forgotten."""
        was_there = await self._presence.beat(self._here)
        if was_there is None:
            self._is_behind = True
            return
        nodes = await self._presence.nodes()
        if nodes is not None:
            self._nodes = nodes if self._here in nodes else [*nodes, self._here]
        is_all = self._is_behind or not was_there
        self._slot = (self._slot + 1) % SLOTS
        if is_all:
            log.info("gateway.presence_renewed", devices=self._connections.devices)
        self._is_behind = not await self._renew(self._connections.logged_in(None if is_all else self._slot))

    async def settle(self) -> None:
        """Logins that found a younger one: who is still here has logged in last."""
        now = time.monotonic()
        due = [link for at, link in self._contested if at <= now]
        self._contested = [(at, link) for at, link in self._contested if at > now]
        staying = [link for link in due if self._connections.is_current(link)]
        ghosts = await self._presence.announce(self._here, entries_of(staying)) if staying else {}
        if ghosts is None:
            self._is_behind = True
        else:
            await self._end_ghosts(ghosts)

    async def dismiss(self, links: list[Link]) -> None:
        """Others say that these are ghosts. Who is the latest login after all stays; whoever is unsure comes again."""
        places = await self._presence.where([link.device for link in links if link.device is not None])
        for link in links:
            place = places.get(link.device) if places is not None and link.device is not None else None
            if place is None:
                link.close(CloseCode.LEAVING, come_again(random.uniform(0.5, 2)))
            elif place.connection != link.connection:
                link.close(CloseCode.GHOSTED, GHOSTED)

    async def end(self) -> None:
        """This node's life is over."""
        await self._presence.end(self._here)

    async def _renew(self, links: Sequence[Link]) -> bool:
        standing = await self._presence.renew(self._here, entries_of(links))
        if standing is None:
            return False
        for link in links:
            if link.device in standing.younger:  # word of it was lost: should it be wrong, the device logs in again
                link.close(CloseCode.LEAVING, come_again(random.uniform(0.5, 2)))
        await self._end_ghosts(standing.older)
        return True

    async def _end_ghosts(self, ghosts: Mapping[UUID, Whereabouts]) -> None:
        by_queue: defaultdict[str, list[tuple[UUID, int]]] = defaultdict(list)
        for device, place in ghosts.items():
            if (place.node, place.boot) != (self._here.node, self._here.boot):
                by_queue[place.queue].append((device, int(CloseCode.GHOSTED)))
        for queue, closings in by_queue.items():
            await self._tell(queue, [encode_close(closings)])
