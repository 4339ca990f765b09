"""What roles have in common as processes: a stop by signal, a ready line, a watchdog, a garbage collector at ease."""

import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Protocol

from domain.errors import CarillonError, Unavailable

TICK_S = 1.0
GUARD_S = 5.0
"""How often the guarding thread looks, which has to wake up for it."""

STALE_S = 60.0
LATEST_END_S = 29.0

YOUNG_OBJECTS = 50_000
"""So many more are made than are gone before the garbage collector looks: a bulk request makes some tens of thousands,
and nearly all of them go without its help."""


class RoleStuck(CarillonError):
    """The process stands but does not work: it ends, so that whoever supervises it starts a new one."""


def stop_by_signal() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


class Connected(Protocol):
    """Something that knows whether its connection stands."""

    @property
    def is_connected(self) -> bool: ...


async def need_connection(connected: Connected) -> None:
    """A health probe: Unavailable while the connection to RabbitMQ is lost."""
    if not connected.is_connected:
        raise Unavailable("RabbitMQ", "the connection is lost")


class Pinged(Protocol):
    """Something that can be asked whether it answers."""

    async def ping(self) -> bool: ...


async def need_redis(cache: Pinged) -> None:
    """A health probe: Unavailable while Redis does not answer."""
    if not await cache.ping():
        raise Unavailable("Redis")


def tell_ready(role: str, metrics_url: str, *, url: str | None = None) -> None:
    """Say on standard output, in one line of JSON, that the role works now; `url` is its door, when it has one."""
    door = {} if url is None else {"url": url}
    print(json.dumps({"ready": role, **door, "metrics_url": metrics_url, "pid": os.getpid()}), flush=True)


def settle() -> None:
    """Leave out of every garbage collection to come what the process is built of.

    Those 160,000 objects never go, and to look through them stops everything for 50 to 100 ms each time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)


async def watch(stop: asyncio.Event, tick: Callable[[], str | None], *, stale_s: float = STALE_S) -> None:
    """Return when `stop` is set. `tick`, asked every second, says what is stuck (or None).

    Stuck for `stale_s` seconds on end raises RoleStuck. An event loop that does not turn for a minute ends the process
    from a thread: nothing else would. Both count looks, not seconds: a process that was stopped for an hour has seen
    nothing of it, and goes on.
    """
    beat = _Heart()
    threading.Thread(target=_guard, args=(beat,), daemon=True, name="watchdog").start()
    troubled_s = 0.0
    try:
        while not stop.is_set():
            beat.turns += 1
            trouble = tick()
            if trouble is None:
                troubled_s = 0.0
            elif troubled_s > stale_s:
                raise RoleStuck(f"{trouble} for {stale_s:g} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await stop.wait()
            troubled_s += TICK_S
    finally:
        beat.is_over.set()


def end_in_time(latest_s: float = LATEST_END_S) -> None:
    """End the process `latest_s` seconds from now, however its closing goes; what was not done comes again."""

    def end() -> None:
        time.sleep(latest_s)
        print(f"closing took longer than {latest_s:g} s: ending", file=sys.stderr, flush=True)
        os._exit(1)

    threading.Thread(target=end, daemon=True, name="deadline").start()


class _Heart:
    """What the event loop and the guarding thread share."""

    def __init__(self) -> None:
        self.turns = 0
        self.is_over = threading.Event()


def _guard(beat: _Heart) -> None:
    seen, still_s = -1, 0.0
    while not beat.is_over.wait(GUARD_S):
        still_s = still_s + GUARD_S if beat.turns == seen else 0.0
        seen = beat.turns
        if still_s > STALE_S:
            print(f"the event loop has not turned for {STALE_S:g} s: ending", file=sys.stderr, flush=True)
            os._exit(1)
