"""A peer among the sides of a benchmark: asked by its own door, counted in its own table and by the sink."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg

from domain.errors import CarillonError
from ops.bench.peer import Heard, Kept, Sent, Wish
from ops.bench.peers.crew import Crew, Recipe, a_crew
from ops.bench.posts import NO_ANSWER, NOT_ASKED, Post, Posted, post_all
from ops.stack.database import connected

CELERY = Recipe(
    "SQLAlchemy + Celery",
    "ops.bench.peers.sqlalchemy_celery",
    settings={"PEER_API_PROCESSES": "1", "PEER_POOL": "threads", "PEER_WORKERS": "16"},
    libraries=("fastapi", "sqlalchemy", "celery", "kombu"),
)
TASKIQ = Recipe(
    "asyncpg + taskiq",
    "ops.bench.peers.asyncpg_taskiq",
    settings={"PEER_API_PROCESSES": "1", "PEER_WORKERS": "1", "PEER_PREFETCH": "100"},
    libraries=("fastapi", "asyncpg", "taskiq", "taskiq-aio-pika"),
)
RECIPES = (CELERY, TASKIQ)
_FINAL = "sent"
_TAKEN = 202
_LOOK_EVERY_S = 0.05
_FIRST_S = 30.0


class PeerFailed(CarillonError):
    """A peer runs and does not do what it is there for."""


class PeerSide:
    """One peer that runs."""

    def __init__(self, recipe: Recipe, crew: Crew, conn: "asyncpg.Connection", python: Path) -> None:
        self.name, self._libraries = recipe.name, recipe.libraries
        self._crew, self._conn, self._python = crew, conn, python
        self._recipients = 1
        self._since: datetime | None = None

    @property
    def pids(self) -> Mapping[str, int]:
        """Its servers, its API, its worker, the sink."""
        return self._crew.pids

    async def versions(self) -> dict[str, str]:
        """What its manual would call the stack."""
        code = (
            f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {self._libraries}}}))"
        )
        process = await asyncio.create_subprocess_exec(str(self._python), "-c", code, stdout=asyncio.subprocess.PIPE)
        told, _ = await process.communicate()
        versions: dict[str, str] = json.loads(told)
        postgres = str(await self._conn.fetchval("SHOW server_version")).split()[0]
        return {"PostgreSQL": postgres, **versions}

    async def prepare(self, recipients: int) -> None:
        """A peer knows nobody beforehand; one notification shows that all of it works. PeerFailed when it does not."""
        self._recipients = recipients
        await self.begin()
        sent = await self.send(Wish(1, connections=1))
        if not await self.settled(sent, within_s=_FIRST_S) or not sent.accepted:
            raise PeerFailed(f"{self.name} does not deliver: {sent.words or 'its worker does nothing'}")

    async def begin(self) -> None:
        """The sink forgets; only rows from now on count."""
        await self._crew.sink.ask("forget")
        self._since = await self._conn.fetchval("SELECT clock_timestamp()")

    async def send(self, wish: Wish) -> Sent:
        """Finished words, no key, no template: less than Carillon is asked for."""
        posts = self._posts(wish)
        per_s = wish.per_s / wish.per_request if wish.per_s else None
        answers = await post_all(
            self._crew.api_url, posts, per_s=per_s, connections=wish.connections, within_s=wish.within_s
        )
        sent = Sent()
        for size, answer in zip(_sizes(wish), answers, strict=True):
            _take(sent, answer, size)
        times = [answer for answer in answers if answer.status != NOT_ASKED]
        sent.began_at = min((answer.at_s for answer in times), default=0.0)
        sent.answered_at = max((answer.at_s + answer.took_s for answer in times), default=0.0)
        return sent

    async def settled(self, sent: Sent, *, within_s: float) -> bool:
        """The sink first, which costs the peer nothing to ask; then its table."""
        loop = asyncio.get_running_loop()
        deadline, wanted = loop.time() + within_s, len(sent.accepted)
        while (await self._crew.sink.ask("count"))["count"] < wanted or await self._ended() < wanted:
            if loop.time() > deadline:
                return False
            await asyncio.sleep(_LOOK_EVERY_S)
        return True

    async def kept(self) -> Kept:
        """Every row that was written since `begin`."""
        query = "SELECT id, status, coalesce(updated_at, created_at) AS at FROM notifications WHERE created_at >= $1"
        rows = await self._conn.fetch(query, self._since)
        kept = Kept({str(row["id"]): row["status"] for row in rows}, frozenset({_FINAL}))
        kept.last_at = max((row["at"].timestamp() for row in rows), default=0.0)
        return kept

    async def heard(self) -> Heard:
        """What the sink was given."""
        told = await self._crew.sink.ask("tell")
        return Heard(told["at"], told["twice"])

    def _posts(self, wish: Wish) -> list[Post]:
        wanted = [_wanted(number % self._recipients) for number in range(wish.count)]
        if wish.per_request == 1:
            return [Post("/notifications", json.dumps(one).encode()) for one in wanted]
        parts = (wanted[start : start + wish.per_request] for start in range(0, wish.count, wish.per_request))
        return [Post("/notifications/bulk", json.dumps({"notifications": part}).encode()) for part in parts]

    async def _ended(self) -> int:
        query = "SELECT count(*) FROM notifications WHERE created_at >= $1 AND status = $2"
        return int(await self._conn.fetchval(query, self._since, _FINAL))


def _wanted(number: int) -> dict[str, Any]:
    return {
        "to": f"bench-{number}",
        "content": {"title": "Your parcel", "body": "It has left the warehouse and comes tomorrow."},
        "channels": ["push"],
        "category": "orders",
        "priority": "high",
    }


def _sizes(wish: Wish) -> Sequence[int]:
    whole, rest = divmod(wish.count, wish.per_request)
    return [wish.per_request] * whole + ([rest] if rest else [])


def _take(sent: Sent, answer: Posted, size: int) -> None:
    if answer.status == NOT_ASKED:
        sent.unasked += size
    elif answer.status == NO_ANSWER:
        sent.unanswered += size
    elif answer.status != _TAKEN:
        sent.refused += size
        sent.words = sent.words or f"{answer.status} {answer.body[:200].decode(errors='replace')}"
    else:
        told = json.loads(answer.body)
        sent.accepted |= dict.fromkeys(told.get("ids") or [told["id"]], answer.at_s)


@asynccontextmanager
async def a_peer(recipe: Recipe, python: Path, folder: Path) -> AsyncIterator[PeerSide]:
    """The peer in `folder` on servers of its own, for as long as the context lasts."""
    async with a_crew(recipe, python, folder) as crew, connected(crew.database_url) as conn:
        yield PeerSide(recipe, crew, conn, python)
