"""What comes one by one is worked on in batches: while one batch is worked on, the next one gathers."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from domain.errors import CarillonError

Item = TypeVar("Item")
log = structlog.get_logger(__name__)


class Batches(Generic[Item]):
    """Hands what `add` takes to `work`, in order, at most `most` at a time. Made by hand, run by `open`.

    `work` settles its items whatever happens: what it raises is logged, and the next batch follows.
    """

    def __init__(self, work: Callable[[list[Item]], Awaitable[None]], *, most: int, name: str) -> None:
        self._work = work
        self._most = most
        self._name = name
        self._waiting: deque[Item] = deque()
        self._is_there = asyncio.Event()
        self._run: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def open(self) -> None:
        """Begin to work."""
        self._run = asyncio.create_task(self._work_on(), name=self._name)

    def add(self, item: Item) -> None:
        """Take an item; returns at once."""
        self._waiting.append(item)
        self._is_there.set()

    async def close(self) -> None:
        """Stop; what waits is left."""
        if self._run is not None:
            self._run.cancel()
            await asyncio.gather(self._run, return_exceptions=True)
            self._run = None

    async def _work_on(self) -> None:
        while True:
            await self._is_there.wait()
            batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            if not self._waiting:
                self._is_there.clear()
            if not batch:
                continue
            try:
                await self._work(batch)
            except CarillonError as error:
                log.warning("gateway.batch_failed", batch=self._name, size=len(batch), error=str(error))
            except Exception:
                log.exception("gateway.batch_broken", batch=self._name, size=len(batch))
