"""The operator's overview and breakers. No answer waits for a silent server: it says which part is unknown."""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from fastapi import Header

from api.dependencies import House, OpsKey, TheHouse
from api.idempotency import refuse_key
from api.routing import router
from api.schemas import overview as told
from domain.errors import CarillonError, Fault, RequestRefused
from domain.holds import PROVIDERS, HoldKind
from domain.lanes import DECLARED_LANES, Channel
from plumbing.beats import Beat, beats
from plumbing.broker.topology import work_queue
from plumbing.database import borrow
from tracking import holds, orders, overview

ROUTER = router("/api/v1/ops", tag="operators")

PART_S = 1.2
"""So long each part of an answer may take; they are asked side by side."""

_GUARDED = [provider for provider, channel in PROVIDERS.items() if channel is not Channel.PUSH]
_Part = TypeVar("_Part")

NoKey = Annotated[str | None, Header(alias="Idempotency-Key", include_in_schema=False)]


@ROUTER.get("/overview", summary="Lanes, breakers, workers, gateways, outbox and leader at one look")
async def get_overview(house: TheHouse, key: OpsKey) -> told.OverviewTold:
    """Within two seconds, whatever is silent: what could not be asked is null and named in `unknown`."""
    asked: dict[str, Awaitable[Any]] = {
        "broker": depths(house),
        "outbox": in_postgres(house, overview.lanes_waiting),
        "sweeper": in_postgres(house, overview.sweep_overdue_s),
        "leaders": in_postgres(house, overview.leaders),
        "roles": in_postgres(house, beats),
        "breaker_orders": in_postgres(house, orders.orders),
        "paused": paused(house, key),
        "gateways": house.presence.nodes(),
    }
    answers = await asyncio.gather(*(in_time(part) for part in asked.values()))
    parts = dict(zip(asked, answers, strict=True))
    roles: list[Beat] | None = parts["roles"]
    waiting = parts["outbox"]
    gateways = parts["gateways"]
    return told.OverviewTold.model_validate(
        {
            "at": house.clock(),
            "lanes": _lanes(parts, roles),
            "breakers": _breakers(parts["breaker_orders"], roles),
            "roles": None if roles is None else [_role(beat) for beat in roles],
            "gateways": None if gateways is None else [{"node": one.node, "region": one.region} for one in gateways],
            "outbox": None
            if waiting is None
            else {
                "oldest_s": max((one.oldest_s or 0.0 for one in waiting), default=0.0),
                "sweep_overdue_s": parts["sweeper"],
            },
            "leaders": parts["leaders"],
            "unknown": [name for name, answer in parts.items() if answer is None],
        }
    )


@ROUTER.get("/breakers", summary="Every breaker: what was ordered, and how each worker's stands")
async def list_breakers(house: TheHouse, _key: OpsKey) -> told.BreakersTold:
    """A worker tells of itself every three seconds."""
    ordered, roles = await asyncio.gather(
        in_time(in_postgres(house, orders.orders)), in_time(in_postgres(house, beats))
    )
    unknown = [name for name, part in (("breaker_orders", ordered), ("roles", roles)) if part is None]
    return told.BreakersTold.model_validate({"items": _breakers(ordered, roles), "unknown": unknown})


@ROUTER.get("/breakers/{provider}", summary="One breaker")
async def get_breaker(house: TheHouse, _key: OpsKey, provider: str) -> told.BreakerTold:
    """What was ordered, and how each worker's stands."""
    _know(provider)
    async with borrow(house.hot_pool) as conn:
        ordered, roles = await orders.orders(conn), await beats(conn)
    return told.BreakerTold.model_validate(_breaker(provider, ordered, roles))


@ROUTER.post("/breakers/{provider}", summary="Force a breaker open or closed in all workers, or let it judge again")
async def order_breaker(
    house: TheHouse, key: OpsKey, provider: str, asked: told.OrderAsked, idempotency_key: NoKey = None
) -> told.BreakerTold:
    """Every worker obeys within a second. `auto` after `open` begins with a trial. Twice is harmless."""
    refuse_key(idempotency_key)
    _know(provider)
    async with borrow(house.hot_pool) as conn:
        await orders.give_order(conn, provider, asked.state, why=asked.why, who=key.prefix)
        ordered, roles = await orders.orders(conn), await beats(conn)
    return told.BreakerTold.model_validate(_breaker(provider, ordered, roles))


def _know(provider: str) -> None:
    if provider not in _GUARDED:
        detail = f"breakers are those of {', '.join(_GUARDED)}; others can be held"
        raise RequestRefused("unknown_provider", detail, 404, faults=(Fault("/path/provider", detail),))


async def in_time(part: Awaitable[_Part]) -> _Part | None:
    """The answer, or None when it does not come in time."""
    try:
        async with asyncio.timeout(PART_S):
            return await part
    except (TimeoutError, CarillonError):
        return None


async def in_postgres(house: House, ask: Any) -> Any:
    """What `ask` finds on a connection of the hot pool. Unavailable."""
    async with borrow(house.hot_pool) as conn:
        return await ask(conn)


async def depths(house: House) -> dict[str, int] | None:
    """Messages ready in each lane of the broker; None when it does not answer."""
    found = {}
    for lane in DECLARED_LANES:
        depth = await house.queue_depth(work_queue(lane))
        if depth is None:
            return None
        found[str(lane)] = depth
    return found


async def paused(house: House, key: OpsKey) -> set[str]:
    """The lanes that are held. Unavailable."""
    async with borrow(house.hot_pool) as conn:
        found = await holds.list_page(conn, key.tenant_id, is_open=True, kind=HoldKind.LANE, limit=100)
    return {one.hold.subject for one in found}


def _lanes(parts: dict[str, Any], roles: list[Beat] | None) -> list[dict[str, Any]]:
    waiting = {str(one.lane): one for one in parts["outbox"] or ()}
    rates: Counter[str] = Counter()
    for beat in roles or ():
        if beat.is_alive:
            rates.update(beat.facts.get("per_minute", {}))
    told_lanes = []
    for lane in map(str, DECLARED_LANES):
        one = waiting.get(lane)
        told_lanes.append(
            {
                "lane": lane,
                "is_paused": None if parts["paused"] is None else lane in parts["paused"],
                "broker_messages": None if parts["broker"] is None else parts["broker"][lane],
                "waiting": None if one is None else {"deliveries": one.deliveries, "is_more": one.is_more},
                "oldest_s": one.oldest_s if one is not None else None,
                "begun_last_minute": None if roles is None else rates[lane],
            }
        )
    return told_lanes


def _breakers(ordered: dict[str, orders.Order] | None, roles: list[Beat] | None) -> list[dict[str, Any]]:
    return [_breaker(provider, ordered or {}, roles or []) for provider in _GUARDED]


def _breaker(provider: str, ordered: dict[str, orders.Order], roles: list[Beat]) -> dict[str, Any]:
    order = ordered.get(provider)
    return {
        "provider": provider,
        "ordered": str(order.state) if order else "auto",
        "order": asdict(order) if order else None,
        "workers": [
            {"worker": beat.name, "at": beat.at, **_stand(beat.facts["breakers"][provider])}
            for beat in roles
            if beat.is_alive and provider in beat.facts.get("breakers", {})
        ],
    }


def _stand(facts: dict[str, Any]) -> dict[str, Any]:
    opened_at_s = facts["opened_at_s"]
    return {
        "state": facts["state"],
        "is_forced": facts["is_forced"],
        "opened_at": datetime.fromtimestamp(opened_at_s, UTC) if opened_at_s is not None else None,
        "retry_after_s": facts["retry_after_s"],
    }


def _role(beat: Beat) -> dict[str, Any]:
    facts = {name: fact for name, fact in beat.facts.items() if name not in {"breakers", "per_minute"}}
    return {
        "name": beat.name,
        "role": beat.role,
        "is_alive": beat.is_alive,
        "begun_at": beat.begun_at,
        "at": beat.at,
        "facts": facts,
    }
