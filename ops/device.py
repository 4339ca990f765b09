"""A device as a careful app has it, in Python: connects to the gateways, acknowledges, comes back, shows nothing twice.

The demo's device, and that of the journeys in the tests.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

REMEMBERED = 1000
"""So many ids are known again: the platform may send one twice, and people see it once."""

TERMINAL = range(4400, 4500)
"""Close codes after which coming again with the same words makes no sense."""

_MEANT_TO_COME_BACK = (4408, 4409, 4413)
_HELLO_WITHIN_S = 10.0
_LONGEST_WAIT_S = 5.0
DELIVERED = 100


@dataclass(frozen=True, slots=True)
class Shown:
    """One push that a person saw. `at_s` is monotonic."""

    id: str
    notification_id: str
    payload: dict[str, Any]
    is_stored: bool
    at_s: float


@dataclass(slots=True)
class Heard:
    """One push in a frame, shown or known already. Times are monotonic; acknowledged: written to the connection."""

    id: str
    is_stored: bool
    is_shown: bool
    at_s: float
    acked_at_s: float | None = None


@dataclass(slots=True)
class Device:
    """One device. `urls` are gateways, tried in turn; a hello names the others, those of the home region first."""

    urls: Sequence[str]
    app_key: str
    token: str
    region: str | None = None
    shown: list[Shown] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    repeats: int = 0
    withdrawn: list[str] = field(default_factory=list)
    closes: Counter[int] = field(default_factory=Counter)
    greeting: dict[str, Any] = field(default_factory=dict)
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""
    _known: dict[str, None] = field(default_factory=dict)
    _task: "asyncio.Task[None] | None" = None

    def start(self) -> None:
        """Connect, and come back whenever the connection is lost, until `stop`."""
        self._task = asyncio.create_task(self._live())

    async def stop(self) -> None:
        """Go away, as when the machine sleeps: nobody is told."""
        task, self._task = self._task, None
        self.connected.clear()
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)  # whoever cancels us meanwhile is heard

    async def come(self, within_s: float = 20.0) -> None:
        """Start and wait for hello; TimeoutError."""
        self.start()
        async with asyncio.timeout(within_s):
            await self.connected.wait()

    async def _live(self) -> None:
        attempt = 0
        while True:
            urls = list(dict.fromkeys([*self.greeting.get("gateways", []), *self.urls]))
            retry_after_s = None
            try:
                await self._converse(urls[attempt % len(urls)])
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else 1006
                self.closes[code] += 1
                if code in TERMINAL and code not in _MEANT_TO_COME_BACK:
                    return
                retry_after_s = _retry_after_s(closed.rcvd.reason if closed.rcvd else "")
            except (OSError, TimeoutError, WebSocketException):
                self.closes[0] += 1
            attempt = 0 if self.connected.is_set() else attempt + 1
            self.connected.clear()
            longest_s = min(_LONGEST_WAIT_S, 0.2 * 2 ** min(attempt, 6))
            await asyncio.sleep(retry_after_s if retry_after_s is not None else random.uniform(0, longest_s))

    async def _converse(self, url: str) -> None:
        # Frames are small: compression would cost both sides memory, and gateways do not offer it.
        async with connect(url, compression=None, proxy=None, ping_interval=None, close_timeout=1) as connection:
            last_seen = next(reversed(self._known), None)
            hello = {"type": "hello", "app_key": self.app_key, "token": self.token, "last_seen": last_seen}
            await connection.send(json.dumps(hello | ({"region": self.region} if self.region else {})))
            async with asyncio.timeout(_HELLO_WITHIN_S):
                self.greeting = json.loads(await connection.recv())
            self.url = url
            self.connected.set()
            heartbeat_s = float(self.greeting["heartbeat_s"])
            beating = asyncio.create_task(_beat(connection, heartbeat_s))
            try:
                while True:
                    async with asyncio.timeout(2 * heartbeat_s):
                        frame = json.loads(await connection.recv())
                    await self._take(connection, frame)
            finally:
                beating.cancel()

    async def _take(self, connection: ClientConnection, frame: dict[str, Any]) -> None:
        kind = frame.get("type")
        if kind == "withdraw":
            self.withdrawn += frame["ids"]
            return
        pushes = [frame] if kind == "notification" else frame["notifications"] if kind == "batch" else []
        heard = [self._hear(push) for push in pushes]
        if heard:
            ids = [{"id": each.id, "code": DELIVERED} for each in heard]
            await connection.send(json.dumps({"type": "ack", "ids": ids}))
            now_s = time.monotonic()
            for each in heard:
                each.acked_at_s = now_s

    def _hear(self, push: dict[str, Any]) -> Heard:
        heard = Heard(push["id"], push["stored"], push["id"] not in self._known, time.monotonic())
        self.heard.append(heard)
        if heard.is_shown:
            self._show(push)
        else:
            self.repeats += 1
        return heard

    def _show(self, push: dict[str, Any]) -> None:
        self._known[push["id"]] = None
        while len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        shown = Shown(push["id"], push["notification_id"], push["payload"], push["stored"], time.monotonic())
        self.shown.append(shown)


async def _beat(connection: ClientConnection, heartbeat_s: float) -> None:
    with suppress(ConnectionClosed):
        while True:
            await asyncio.sleep(heartbeat_s * random.uniform(0.7, 0.9))
            await connection.send("{}")


def _retry_after_s(reason: str) -> float | None:
    """What the gateway asks for in a close reason such as {"retry_after_s": 2.5}."""
    try:
        return float(json.loads(reason)["retry_after_s"])
    except (ValueError, KeyError, TypeError):
        return None
