"""Health: each dependency by name, none waited for longer than allowed, and only what is needed counts."""

import asyncio

from domain.errors import Unavailable
from plumbing.health import Check, ask_all, is_ready


async def _up() -> None:
    return


async def _down() -> None:
    raise Unavailable("PostgreSQL", "connection refused")


async def _odd() -> None:
    raise RuntimeError("amqp://user:password@host")


async def _silent() -> None:
    await asyncio.Event().wait()


async def test_each_dependency_answers_for_itself() -> None:
    checks = {"up": Check(_up), "down": Check(_down), "odd": Check(_odd), "silent": Check(_silent)}

    answers = await ask_all(checks, timeout_s=0.01)

    assert [answer.name for answer in answers] == ["up", "down", "odd", "silent"]
    assert [answer.is_up for answer in answers] == [True, False, False, False]
    assert "connection refused" in answers[1].detail
    assert answers[2].detail == "RuntimeError"
    assert "no answer" in answers[3].detail


async def test_only_what_is_required_decides() -> None:
    assert is_ready(await ask_all({"up": Check(_up), "down": Check(_down, is_required=False)}))
    assert not is_ready(await ask_all({"up": Check(_up), "down": Check(_down)}))
