"""A role as a process: it stops when told, and ends by itself when it stands but does not work."""

import asyncio
import gc
import json
import time

import pytest

from domain.errors import Unavailable
from plumbing.role import RoleStuck, need_connection, settle, tell_ready, watch


class Line:
    """A connection that stands, or not."""

    def __init__(self, *, is_connected: bool) -> None:
        self.is_connected = is_connected


async def test_a_role_ends_when_it_is_told_to() -> None:
    stop = asyncio.Event()
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        stop.set()

    await watch(stop, tick)

    assert ticks == 1


async def test_a_role_that_is_stuck_for_too_long_ends_with_the_reason() -> None:
    with pytest.raises(RoleStuck, match="nothing moves"):
        await watch(asyncio.Event(), lambda: "nothing moves", stale_s=0.1)


async def test_trouble_that_passes_ends_nothing() -> None:
    stop = asyncio.Event()
    answers = iter(["trouble", None])

    def tick() -> str | None:
        answer = next(answers, None)
        if answer is None:
            stop.set()
        return answer

    await watch(stop, tick, stale_s=30)

    assert next(answers, "both were heard") == "both were heard"


async def test_a_process_that_was_stopped_for_long_goes_on_though_its_first_look_finds_trouble() -> None:
    stop = asyncio.Event()
    looks = 0

    def tick() -> str | None:
        nonlocal looks
        looks += 1
        if looks == 1:
            return None
        if looks == 2:
            time.sleep(3.2)  # as SIGSTOP looks from inside: the clock went on and nothing else did
            return "everything stands still since long ago"
        stop.set()
        return None

    await watch(stop, tick, stale_s=3)

    assert looks == 3


async def test_a_lost_connection_is_not_ready() -> None:
    await need_connection(Line(is_connected=True))
    with pytest.raises(Unavailable):
        await need_connection(Line(is_connected=False))


def test_the_ready_line_is_json_and_names_the_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    tell_ready("worker", "http://127.0.0.1:1/metrics")

    line = json.loads(capsys.readouterr().out)

    assert (line["ready"], line["metrics_url"]) == ("worker", "http://127.0.0.1:1/metrics")


def test_what_a_role_is_built_of_is_never_looked_through_again() -> None:
    before = gc.get_threshold()
    built = [object()]
    try:
        settle()
        assert not any(each is built for each in gc.get_objects())
        assert gc.get_freeze_count() > len(gc.get_objects())
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
