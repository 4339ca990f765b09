"""The scenarios whose figure is a ratio: beside peers, lanes beside one pool, emails beside client and server alone."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from ops.bench.asked import Asked
from ops.bench.compare import compare, show
from ops.bench.email import EmailPlan, measure_email
from ops.bench.lanes import LanesPlan, a_scarce_platform, measure_lanes
from ops.bench.mails import a_mail_platform
from ops.bench.peer import PeerFactory, Wish
from ops.bench.peers.environment import environment
from ops.bench.peers.side import RECIPES, a_peer
from ops.bench.platform_peer import a_platform_peer
from ops.bench.result import Result
from ops.bench.versions import libraries, versions_of
from plumbing.settings import Settings

Say = Callable[[str], None]
_CARILLON = "Carillon"


async def compared(asked: Asked, wish: Wish, settings: Settings, folder: Path, say: Say) -> Result:
    """`single` and `bulk` with `--compare`. Misconfigured when the peers' libraries cannot be had."""
    python = await asyncio.to_thread(environment, say)
    sides: dict[str, PeerFactory] = {_CARILLON: partial(a_platform_peer, settings)}
    sides |= {recipe.name: partial(a_peer, recipe, python) for recipe in RECIPES}
    made = await compare(sides, wish, recipients=asked.devices or 500, folder=folder, say=say, rounds=asked.rounds)
    versions = {name: number for side in made.versions.values() for name, number in side.items()}
    plan = {"wish": wish, "rounds": asked.rounds}
    return Result(asked.scenario, plan, versions, made.document(), partial(show, comparison=made))


async def lanes(asked: Asked, settings: Settings, folder: Path, say: Say) -> Result:
    """Urgent ones while thousands of low ones wait."""
    plan = LanesPlan(waiting=asked.count or LanesPlan().waiting)
    say(f"{plan.waiting:,} low ones wait, with lanes and without: a minute or two")
    async with a_scarce_platform(settings, folder, plan) as (run, sink):
        versions = await versions_of(run)
        figures = await measure_lanes(run, sink, plan)
    return Result(asked.scenario, plan, versions, figures.document(), partial(_print, figures))


async def email(asked: Asked, settings: Settings, folder: Path, say: Say) -> Result:
    """Emails, beside client and server alone."""
    plan = EmailPlan(emails=asked.count or EmailPlan().emails, turns=asked.rounds)
    say(f"{plan.emails:,} emails, {plan.turns} times alone and through the platform: a minute")
    async with a_mail_platform(settings, folder) as run:
        versions = {**await versions_of(run), **libraries("aiosmtplib", "aiosmtpd")}
        figures = await measure_email(run, plan)
    return Result(asked.scenario, plan, versions, figures.document(), partial(_print, figures))


def _print(figures: Any, console: Console) -> None:
    console.print(str(figures))
