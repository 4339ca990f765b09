"""Health: each dependency by name, asked at the same time, each for at most a second.

It only asks and tells; how a dependency is asked is given by whoever holds it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from domain.errors import CarillonError

CHECK_TIMEOUT_S = 1.0

Probe = Callable[[], Awaitable[object]]
"""Asks a dependency something cheap; whatever it raises means that it does not answer."""


@dataclass(frozen=True, slots=True)
class Check:
    """How to ask one dependency, and whether this process is of use without it."""

    probe: Probe
    is_required: bool = True


@dataclass(frozen=True, slots=True)
class Health:
    """What one dependency answered; `detail` is for people and names no secret."""

    name: str
    is_up: bool
    is_required: bool
    duration_ms: float
    detail: str = ""


async def ask_all(checks: Mapping[str, Check], *, timeout_s: float = CHECK_TIMEOUT_S) -> list[Health]:
    """Ask every dependency at the same time, in the order of `checks`. Never raises for a dependency's trouble."""
    return list(await asyncio.gather(*(_ask(name, check, timeout_s) for name, check in checks.items())))


def is_ready(answers: list[Health]) -> bool:
    """Whether everything answered without which there is no work."""
    return all(answer.is_up for answer in answers if answer.is_required)


async def _ask(name: str, check: Check, timeout_s: float) -> Health:
    begun = time.perf_counter()
    detail = ""
    try:
        async with asyncio.timeout(timeout_s):
            await check.probe()
    except TimeoutError:
        detail = f"no answer within {timeout_s:g} s"
    except CarillonError as error:
        detail = str(error)
    except Exception as error:  # a probe belongs to any library; its type is told, its words may hold a URL
        detail = type(error).__name__
    return Health(name, not detail, check.is_required, round((time.perf_counter() - begun) * 1000, 1), detail)
