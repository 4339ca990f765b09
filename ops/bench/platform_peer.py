"""Carillon as a peer among peers: everything on, from the public door to connected devices over the gateway."""

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.ids import first_id_at
from ops.bench.crowd import Crowd, a_crowd
from ops.bench.peer import Heard, Kept, Sent, Wish
from ops.bench.platform_side import NotMeasurable, PlatformSide, a_platform, user_of
from ops.bench.posts import NO_ANSWER, NOT_ASKED, Post, Posted, post_all
from ops.bench.versions import versions_of
from ops.stack.database import connected
from ops.stack.parts import StackChoice
from plumbing.settings import Settings

AT_ONCE = 200
_TAKEN = 202
_APART = timedelta(milliseconds=2)
"""Ids are kept to the millisecond: a round begins in one that the round before did not see."""

_LOOK_EVERY_S = 0.05
_STEP = 7919
"""A prime: neighbours in time are no neighbours among the recipients."""

_FINAL = DeliveryStatus.DELIVERED
_encode = msgspec.json.Encoder().encode


class _Result(msgspec.Struct):
    id: str | None = None


class _Results(msgspec.Struct):
    results: list[_Result]


_one = msgspec.json.Decoder(_Result).decode
_many = msgspec.json.Decoder(_Results).decode


class PlatformPeer:
    """All roles of Carillon on this machine, and a crowd of devices. Each recipient is a user with one device."""

    name = "Carillon"

    def __init__(self, side: PlatformSide, crowd: Crowd, conn: "asyncpg.Connection") -> None:
        self.side, self.crowd, self._conn = side, crowd, conn
        self._run, self._recipients = secrets.token_hex(4), 0
        self._numbers = itertools.count()
        self._since = first_id_at(utc_now())

    @property
    def pids(self) -> Mapping[str, int]:
        """Those of the platform; `devices` is the crowd, and the process that asks counts itself."""
        return {**self.side.pids, "devices": self.crowd.process.pid}

    async def versions(self) -> dict[str, str]:
        """PostgreSQL, Redis, RabbitMQ and Python."""
        return await versions_of(self.side.run)

    async def prepare(self, recipients: int) -> None:
        """Register a user's device for each, and bring them all to hello. NotMeasurable when some do not come."""
        self._recipients = recipients
        await self.side.register(self._run, recipients, has_users=True)
        there = await self.crowd.connect(
            self.side.url,
            count=recipients,
            at_once=AT_ONCE,
            run=self._run,
            app_key=self.side.app_key,
            offer=self.side.offers,
        )
        if there["connected"] < recipients:
            raise NotMeasurable(f"{recipients - there['connected']} of {recipients} devices did not get to hello")

    async def begin(self) -> None:
        """Devices forget what they heard; only ids from now on count."""
        self._since = first_id_at(utc_now() + _APART)
        await asyncio.sleep(2 * _APART.total_seconds())
        await self.crowd.listen()

    async def send(self, wish: Wish) -> Sent:
        """With an Idempotency-Key for each request, a shipped template, and a dedupe_key for each notification."""
        posts = self.posts(wish)
        per_s = wish.per_s / wish.per_request if wish.per_s else None
        sent = Sent()
        answers = await post_all(
            self.side.api_url, posts, per_s=per_s, connections=wish.connections, within_s=wish.within_s
        )
        sizes = _sizes(wish)
        for size, answer in zip(sizes, answers, strict=True):
            _take(sent, answer, size, is_bulk=wish.per_request > 1)
        times = [answer for answer in answers if answer.status != NOT_ASKED]
        sent.began_at = min((answer.at_s for answer in times), default=0.0)
        sent.answered_at = max((answer.at_s + answer.took_s for answer in times), default=0.0)
        return sent

    async def settled(self, sent: Sent, *, within_s: float) -> bool:
        """The devices first, then the database: asking it all the time would be part of what is measured."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        await self.crowd.heard(len(sent.accepted), within_s)
        while await self._ended() < len(sent.accepted):
            if loop.time() > deadline:
                return False
            await asyncio.sleep(_LOOK_EVERY_S)
        return True

    async def kept(self) -> Kept:
        """Every delivery that was written since `begin`, by its id."""
        rows = await self._conn.fetch("SELECT id, status, updated_at FROM deliveries WHERE id >= $1", self._since)
        kept = Kept({str(row["id"]): DeliveryStatus.of(row["status"]).value for row in rows}, frozenset({_FINAL}))
        kept.last_at = max((row["updated_at"].timestamp() for row in rows), default=0.0)
        return kept

    async def heard(self) -> Heard:
        """What the devices read, by the delivery's id."""
        told = await self.crowd.heard(0, 0.0)
        return Heard(told["heard_at"], told["twice"])

    def posts(self, wish: Wish) -> list[Post]:
        """The requests of a wish, made beforehand so that making them is not measured."""
        if wish.per_request == 1:
            return [self._post("/api/v1/notifications", self._wanted(number)) for number in self._take(wish.count)]
        return [
            self._post("/api/v1/notifications/bulk", {"notifications": [self._wanted(n) for n in self._take(size)]})
            for size in _sizes(wish)
        ]

    def _take(self, count: int) -> list[int]:
        return list(itertools.islice(self._numbers, count))

    def _post(self, path: str, document: dict[str, Any]) -> Post:
        key = ("Idempotency-Key", secrets.token_hex(12))
        return Post(path, _encode(document), (*self.side.headers, key))

    def _wanted(self, number: int) -> dict[str, Any]:
        order = f"A-{self._run}-{number}"
        return {
            "to": user_of(self._run, number * _STEP % self._recipients),
            "template": "order_shipped",
            "data": {"order": order, "carrier": "Northway Post"},
            "channels": ["push"],
            "priority": "high",
            "dedupe_key": order,
        }

    async def _ended(self) -> int:
        query = "SELECT count(*) FROM deliveries WHERE id >= $1 AND status = $2"
        return int(await self._conn.fetchval(query, self._since, _FINAL.code))


def _sizes(wish: Wish) -> Sequence[int]:
    """How many notifications each request has."""
    whole, rest = divmod(wish.count, wish.per_request)
    return [wish.per_request] * whole + ([rest] if rest else [])


def _take(sent: Sent, answer: Posted, size: int, *, is_bulk: bool) -> None:
    """Put one answer into the account. Each notification has one delivery: its id with the ordinal 1."""
    if answer.status == NOT_ASKED:
        sent.unasked += size
    elif answer.status == NO_ANSWER:
        sent.unanswered += size
    elif answer.status != _TAKEN:
        sent.refused += size
        sent.words = sent.words or f"{answer.status} {answer.body[:200].decode(errors='replace')}"
    else:
        results = _many(answer.body).results if is_bulk else [_one(answer.body)]
        for result in results:
            if result.id is None:
                sent.refused += 1
                sent.words = sent.words or answer.body[:200].decode(errors="replace")
            else:
                sent.accepted[str(UUID(int=UUID(result.id).int | 1))] = answer.at_s


@asynccontextmanager
async def a_platform_peer(
    settings: Settings, folder: Path, *, stack: StackChoice = StackChoice.AUTO
) -> AsyncIterator[PlatformPeer]:
    """The platform in `folder` on servers of its own, with its devices, for as long as the context lasts."""
    async with (
        a_platform(settings, folder, stack=stack) as side,
        a_crowd() as crowd,
        connected(side.run.database_url) as conn,
    ):
        yield PlatformPeer(side, crowd, conn)
