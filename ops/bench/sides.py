"""What is measured, one side beside the other: where devices connect, how something is sent to one, and to all."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from domain.ids import uuid7
from ops.bench.peer import Kept
from ops.bench.posts import Post, Posted, post_all
from ops.bench.tokens import device_token
from ops.stack.ports import free_port
from ops.stack.probes import accepts
from ops.stack.programs import Program
from ops.stack.unit import Unit

_ROOT = Path(__file__).resolve().parents[2]


class Side(Protocol):
    """One of those that are compared."""

    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def pid(self) -> int: ...
    @property
    def app_key(self) -> str: ...
    @property
    def offers(self) -> bool: ...
    @property
    def patience_s(self) -> float: ...

    async def register(self, run: str, devices: int) -> None:
        """Make the devices known."""

    def post(self, run: str, number: int) -> Post:
        """A request that sends one message to device `number`."""

    def sent_id(self, post: Post, posted: Posted) -> str | None:
        """Under which id the device will see it; None when it was not accepted."""

    async def kept(self, names: Collection[str]) -> Kept | None:
        """What the database has of these, once each has its final status or patience is over; None without one."""

    @property
    def api_url(self) -> str: ...

    async def blast(self, run: str, devices: int, frames: int) -> None:
        """Hand over `frames` frames, to each device in turn, as fast as it goes."""


class RelaySide:
    """uvicorn with the relay on it."""

    app_key = "any"
    patience_s = 5.0
    """What is not there by then was forgotten."""

    def __init__(self, name: str, unit: Unit, port: int, *, offers: bool) -> None:
        self.name, self._unit, self.offers = name, unit, offers
        self.url, self.api_url = f"ws://127.0.0.1:{port}/v1/connect", f"http://127.0.0.1:{port}"

    @property
    def pid(self) -> int:
        """The server's process."""
        return next(iter(self._unit.pids.values()))

    async def register(self, run: str, devices: int) -> None:
        """Nothing to do: the relay knows nobody beforehand."""

    def post(self, run: str, number: int) -> Post:
        """A frame, ready to be handed on."""
        return Post(f"/send/{device_token(run, number)}", notification(str(uuid7())))

    def sent_id(self, post: Post, posted: Posted) -> str | None:
        """The id that stands in the frame."""
        return str(json.loads(post.body)["id"]) if posted.status == 202 else None

    async def kept(self, names: Collection[str]) -> None:
        """The relay keeps nothing."""

    async def blast(self, run: str, devices: int, frames: int) -> None:  # noqa: ARG002  # the relay knows its devices
        """One request; the relay sends by itself."""
        await post_all(self.api_url, [Post(f"/blast/{frames}", notification(str(uuid7())))])


def notification(identifier: str) -> bytes:
    """A frame as devices get it, with the same content on every side."""
    words = {"aps": {"alert": {"title": "Your parcel", "body": "It has left the warehouse and comes tomorrow."}}}
    frame = {"type": "notification", "id": identifier, "notification_id": identifier, "payload": words}
    more = {"priority": 10, "collapse_id": None, "topic": None, "expires_at": None, "stored": False}
    return json.dumps({**frame, **more}).encode()


@asynccontextmanager
async def a_relay(folder: Path, *, deflate: bool) -> AsyncIterator[RelaySide]:
    """The relay on a free port, ended at the end."""
    port = free_port()
    name = "uvicorn, its defaults" if deflate else "uvicorn, deflate off"
    argv = (sys.executable, "-m", "ops.bench.relay", "--port", str(port), *(() if deflate else ("--no-deflate",)))
    program = Program("relay", argv, folder / "relay.log", {"PYTHONPATH": str(_ROOT)}, cwd=_ROOT)
    unit = Unit("relay", (program,), lambda: accepts(port))
    unit.start()
    try:
        await asyncio.to_thread(unit.await_ready, 20.0)
        yield RelaySide(name, unit, port, offers=deflate)
    finally:
        unit.stop(5.0)


def resident_bytes(pid: int) -> int:
    """The memory that a process really occupies (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_s(pid: int) -> float:
    """The processor time that a process has taken so far (Linux); what others do at the time matters little to it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
