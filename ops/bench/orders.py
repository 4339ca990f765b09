"""Programs of a benchmark that take orders: a line of JSON on standard input, answered by one on standard output."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.errors import CarillonError

_LINE_BYTES = 64 * 1024 * 1024
_ROOT = Path(__file__).resolve().parents[2]


class ProgramLost(CarillonError):
    """A program of the benchmark ended before its time."""


@dataclass(frozen=True, slots=True)
class Orderly:
    """A program that runs; every order waits for its answer."""

    process: asyncio.subprocess.Process
    hello: dict[str, Any]
    """What it said when it was ready."""

    async def ask(self, do: str, **order: Any) -> dict[str, Any]:
        """One order. ProgramLost when nobody answers."""
        if self.process.stdin is None:
            raise ProgramLost("a program of the benchmark has no pipes")
        self.process.stdin.write(json.dumps({"do": do, **order}).encode() + b"\n")
        await self.process.stdin.drain()
        return await _answer(self.process)


@asynccontextmanager
async def an_orderly(module: str, *arguments: str) -> AsyncIterator[Orderly]:
    """`python -m module`, ready when it has said its first line, ended at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
        cwd=_ROOT,
    )
    try:
        yield Orderly(process, await _answer(process))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def take_orders(hello: dict[str, Any], obey: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Inside such a program: say hello, then answer orders until standard input ends."""
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    _say(hello)
    while line := await orders.readline():
        _say(obey(json.loads(line)))


async def _answer(process: asyncio.subprocess.Process) -> dict[str, Any]:
    line = await process.stdout.readline() if process.stdout is not None else b""
    if not line:
        raise ProgramLost("a program of the benchmark has ended: its words are above")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
