"""The scenario `render`: shipped templates through the worker's own way of making words, in one process."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
from rich.console import Console

from domain.clock import utc_now
from domain.ids import delivery_id, notification_id
from domain.lanes import Channel, Priority
from domain.notification import Mode
from ops.bench.noise import Noise, listen
from ops.bench.tables import new_table, noise
from ops.stack.home import Run
from plumbing.secrets import Seal
from preferences.categories import Categories
from templates.catalog import Catalog
from tracking.claim import Claimed
from workers.words import Composer

_ADDRESSES = {Channel.EMAIL: "robin@example.com", Channel.SMS: "+14155550100"}
_WARM = 50
_LOOK_EVERY = 20
_TURNS = 10


@dataclass(frozen=True, slots=True)
class RenderPlan:
    """Seconds of processor time for each message and channel."""

    seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Rendered:
    """One message on one channel: how many were made in one second of one core."""

    template: str
    channel: str
    count: int
    per_s: float
    each_us: float
    noise: Noise


async def measure_render(run: Run, plan: RenderPlan) -> list[Rendered]:
    """Every shipped message on every channel that it has words for, with its own sample as data."""
    catalog = Catalog.shipped()
    async with asyncpg.create_pool(run.database_url, min_size=1, max_size=1) as pool:
        seal = Seal("the key of a benchmark, which signs links that nobody opens")
        composer = Composer(pool, catalog=catalog, categories=Categories(), seal=seal, public_url=run.api_url)
        messages = [message for name in catalog.names() if (message := catalog.get(name)) is not None]
        return [
            await _render(composer, _claimed(message.name, message.category, channel, message.sample), plan)
            for message in messages
            for channel in sorted(message.channels)
        ]


async def _render(composer: Composer, claimed: Claimed, plan: RenderPlan) -> Rendered:
    heard = listen(_TURNS)
    for _ in range(_WARM):
        await composer(claimed)
    began_s, count, took_s = time.process_time(), 0, 0.0
    while took_s < plan.seconds:
        for _ in range(_LOOK_EVERY):
            await composer(claimed)
        count += _LOOK_EVERY
        took_s = time.process_time() - began_s
    return Rendered(claimed.template or "", claimed.channel, count, count / took_s, took_s * 1e6 / count, heard)


def _claimed(template: str, category: str | None, channel: Channel, data: Mapping[str, Any]) -> Claimed:
    """As the claim hands it to the worker."""
    notification, now = notification_id(), utc_now()
    address = uuid4()
    return Claimed(
        id=delivery_id(notification, 1),
        notification_id=notification,
        tenant_id=uuid4(),
        user_id=uuid4(),
        external_id="user-42",
        address_id=address,
        address=_ADDRESSES.get(channel, str(address)),
        name="Robin",
        timezone="Europe/Berlin",
        user_locale="en",
        channel=channel,
        priority=Priority.NORMAL,
        mode=Mode.LIVE,
        template=template,
        template_version=1,
        locale=None,
        category=category or "general",
        data=json.dumps(data).encode(),
        attempt=1,
        crashes=0,
        expires_at=now + timedelta(hours=1),
        envelope_id=None,
        lease_token=uuid4(),
        lease_until=now + timedelta(minutes=1),
    )


def show_render(console: Console, made: list[Rendered]) -> None:
    """A row for each message and channel."""
    table = new_table("", ["per second and core", "each", "machine, best / middle / worst"])
    for one in made:
        table.add_row(f"{one.template}, {one.channel}", f"{one.per_s:,.0f}", f"{one.each_us:,.0f} µs", noise(one.noise))
    console.print(table)
