"""Many callers, one question: look-ups that come together are asked together, one question at a time.

Who comes while a question runs waits for the next one, never for an answer that may be older than the call.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key")
Found = TypeVar("Found")

MAX_KEYS = 500


class Gatherer(Generic[Key, Found]):
    """Turns the look-ups of one process into few questions of up to `most` keys."""

    def __init__(self, ask: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Found]]], *, most: int = MAX_KEYS) -> None:
        self._ask = ask
        self._most = most
        self._turn = asyncio.Lock()
        self._open: tuple[dict[Key, None], asyncio.Task[Mapping[Key, Found]]] | None = None

    async def find(self, keys: Sequence[Key]) -> dict[Key, Found]:
        """What is known of each key, by a question begun after this call; raises what the question raises."""
        parts = [keys[start : start + self._most] for start in range(0, len(keys), self._most)]
        joined = [(part, self._join(part)) for part in parts]
        found: dict[Key, Found] = {}
        for part, task in joined:
            answer = await asyncio.shield(task)
            found |= {key: answer[key] for key in part if key in answer}
        return found

    def _join(self, keys: Sequence[Key]) -> asyncio.Task[Mapping[Key, Found]]:
        """The question that these keys are part of: the one that has not begun, while there is room in it."""
        if self._open is None or len(self._open[0]) + len(keys) > self._most:
            wanted: dict[Key, None] = {}
            task = asyncio.create_task(self._run(wanted))
            task.add_done_callback(_note)
            self._open = wanted, task
        self._open[0].update(dict.fromkeys(keys))
        return self._open[1]

    async def _run(self, wanted: dict[Key, None]) -> Mapping[Key, Found]:
        async with self._turn:
            if self._open is not None and self._open[0] is wanted:
                self._open = None
            return await self._ask(list(wanted))


def _note(task: asyncio.Task[Mapping[Key, Found]]) -> None:
    """A question whose callers have all gone away may fail without anybody being told."""
    if not task.cancelled():
        task.exception()
