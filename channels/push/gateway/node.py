"""One gateway node: puts connections, look-ups, mailboxes, presence and reports together, and looks after them."""

import asyncio
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from channels.push.devices import touch_last_seen
from channels.push.gateway.actions import LookUp, Report
from channels.push.gateway.admission import Admission, Greeting, Refusal
from channels.push.gateway.batches import Batches
from channels.push.gateway.codes import CloseCode, come_again
from channels.push.gateway.connections import SLOTS, Connections, entries_of
from channels.push.gateway.drain import Read
from channels.push.gateway.frames import Hello
from channels.push.gateway.herald import BEAT_S, Herald, Tell
from channels.push.gateway.inbox import Inbox
from channels.push.gateway.link import Link
from channels.push.gateway.mailroom import POLL_S, Mailroom, Request
from channels.push.gateway.reporting import Publish, Reporting
from channels.push.gateway.rounds import Rounds
from channels.push.gateway.session import Session, State
from channels.push.gateway.tally import Tally
from channels.push.origins import REMEMBERED_S, Origins
from channels.push.presence import Entry, NodeFacts, Presence
from domain.errors import CarillonError
from domain.ids import uuid7
from plumbing.push_metrics import CLOSED, CONNECTIONS, Closed

TICK_S = 1.0 / SLOTS
FEW = 2_000
"""So many devices and fewer are looked after in some milliseconds: then a node wakes up less often for them."""

FEW_TICKS = 5
"""Ticks that such a node makes in one go: each device still has its turn once a second."""

WAVE_S = 0.1
WAVES = 100
"""A node that leaves asks a hundredth of its devices at a time: 10 % a second."""
LAST_GOODBYE_S = 4.0
REPORTS_WITHIN_S = 5.0
ELSEWHERE_S = 3.0
"""Devices of a node that leaves come again within so many seconds."""
BUSY_S = 10.0


@dataclass(frozen=True, slots=True)
class Ways:
    """The ways out of a node: to PostgreSQL, Redis and RabbitMQ, and who judges greetings."""

    pool: asyncpg.Pool
    presence: Presence
    admission: Admission
    tell: Tell
    publish_receipts: Publish


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a node keeps to."""

    heartbeat_s: float
    max_devices: int


class Node:
    """One life of a node. Made by hand; `open` begins, `drain` sends the devices elsewhere, `close` ends."""

    def __init__(self, here: NodeFacts, ways: Ways, bounds: Bounds) -> None:
        self._ways = ways
        self._bounds = bounds
        self._tally = Tally()
        self.connections = Connections()
        self.herald = Herald(here, ways.presence, self.connections, ways.tell)
        self.reporting = Reporting(ways.publish_receipts)
        self._origins = Origins(ways.pool)
        self._mailroom = Mailroom(ways.pool, self.connections)
        self._greetings: Batches[tuple[Link, Hello]] = Batches(self._admit, most=500, name="greetings")
        self._logins: Batches[Link] = Batches(self.herald.announce, most=500, name="logins")
        self._reads: Batches[Request] = Batches(self._mailroom.read, most=200, name="reads")
        self._goodbyes: Batches[Entry] = Batches(self.herald.leave, most=500, name="goodbyes")
        self._ghosts: Batches[Link] = Batches(self.herald.dismiss, most=500, name="ghosts")
        self._seen: Batches[UUID] = Batches(self._touch, most=500, name="seen")
        self.inbox = Inbox(self.connections, self.reporting.add, self._ghosts.add)
        self._rounds = Rounds()
        self._slot = 0

    # ---- its life

    async def open(self) -> None:
        """Make the node known, and begin to look after things. Raises Unavailable without PostgreSQL."""
        await self._origins.refresh()
        await self.herald.beat()
        for batches in self._batches():
            batches.open()
        self.reporting.open()
        self._rounds.every(self._until_tick, self._tick, "ticks")
        self._rounds.every(1.0, self._each_second, "seconds")
        self._rounds.every(BEAT_S, self.herald.beat, "beats")
        self._rounds.every(POLL_S, self._mailroom.poll, "polls")
        self._rounds.every(REMEMBERED_S, self._origins.refresh, "origins")

    @property
    def trouble(self) -> str | None:
        """What is broken beyond repair."""
        return self._rounds.trouble

    async def drain(self) -> None:
        """Ask the devices to go elsewhere, a tenth of them a second; those that do not are cut off."""
        wave = math.ceil(len(self.connections) / WAVES)
        for _ in range(WAVES):
            if not len(self.connections):
                return
            self.connections.wave(wave, ELSEWHERE_S)
            await asyncio.sleep(WAVE_S)
        self.connections.wave(len(self.connections), ELSEWHERE_S)
        for _ in range(int(LAST_GOODBYE_S / WAVE_S)):
            if not len(self.connections):
                return
            await asyncio.sleep(WAVE_S)

    async def close(self) -> None:
        """End it: presence goes, reports are published as far as that is possible within seconds."""
        await self._rounds.close()
        for batches in self._batches():
            await batches.close()
        await self.herald.end()
        await self.reporting.close(REPORTS_WITHIN_S)
        self._tally.flush()

    # ---- what the door asks

    def link(self, origin: str | None) -> Link:
        """A link for a new connection."""
        session = Session(time.monotonic(), self._bounds.heartbeat_s, self._tally)
        return Link(session, self, uuid7().hex, origin)

    def allow(self, origin: str | None) -> bool:
        """Whether pages from there may connect; None is no page."""
        return origin is None or self._origins.held(origin)

    @property
    def is_full(self) -> bool:
        """Whether no further connection has room."""
        return len(self.connections) >= self._bounds.max_devices

    # ---- what links ask

    def opened(self, link: Link) -> None:
        """A handshake is over."""
        self.connections.join(link)

    def look_up(self, link: Link, wanted: LookUp) -> None:
        """A device says hello."""
        self._greetings.add((link, wanted.hello))

    def read(self, link: Link, wanted: Read) -> None:
        """A session wants to read its mailbox."""
        self._reads.add(Request(link, wanted))

    def report(self, link: Link, report: Report) -> None:
        """A session says what became of a push."""
        if link.device is not None:
            self.reporting.add(link.device, report)

    def ended(self, link: Link, code: CloseCode | None) -> None:
        """A connection is gone."""
        CLOSED.labels(why=Closed.LEFT if code is None else code.why).inc()
        if self.connections.leave(link):
            for entry in entries_of([link]):
                self._goodbyes.add(entry)

    # ---- how it does it

    async def _admit(self, greetings: list[tuple[Link, Hello]]) -> None:
        waiting = [(link, hello) for link, hello in greetings if link.session.state is State.ASKING]
        try:
            answers = await self._ways.admission.judge([Greeting(hello, link.origin) for link, hello in waiting])
        except CarillonError:
            for link, _ in waiting:
                link.close(CloseCode.BUSY, come_again(random.uniform(1, BUSY_S)))
            raise
        now = time.monotonic()
        for (link, hello), answer in zip(waiting, answers, strict=True):
            if isinstance(answer, Refusal):
                link.close(answer.code, answer.why)
            elif link.session.state is State.ASKING:
                self.connections.log_in(link, answer.id)
                urls = self.herald.gateways(answer.region or hello.region)
                link.act(link.session.admitted(answer.id, link.connection, urls, now))
                self._logins.add(link)
                self._seen.add(answer.id)

    async def _touch(self, devices: Sequence[UUID]) -> None:
        await touch_last_seen(self._ways.pool, list(devices))

    def _until_tick(self) -> float:
        return TICK_S * self._ticks_at_once()

    def _ticks_at_once(self) -> int:
        return FEW_TICKS if len(self.connections) <= FEW else 1

    async def _tick(self) -> None:
        now = time.monotonic()
        for _ in range(self._ticks_at_once()):
            self._slot = (self._slot + 1) % SLOTS
            self.connections.tick(self._slot, now)

    async def _each_second(self) -> None:
        self._tally.flush()
        CONNECTIONS.set(self.connections.devices)
        await self.herald.settle()

    def _batches(self) -> tuple[Batches[Any], ...]:
        return (self._greetings, self._logins, self._reads, self._goodbyes, self._ghosts, self._seen)
