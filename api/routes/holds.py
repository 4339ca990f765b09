"""Holds and paused lanes: nothing that they name is begun, nothing of it is lost, and no attempt is spent."""

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from fastapi import Header, Query
from starlette.responses import Response

from api.auth import Key
from api.dependencies import House, OpsKey, TheHouse
from api.errors import not_found
from api.idempotency import refuse_key
from api.routing import router
from api.schemas import ops as told
from domain.errors import Fault, RequestRefused
from domain.holds import PROVIDERS, Hold, HoldKind
from domain.lanes import DECLARED_LANES, Channel, Lane, Priority
from plumbing.database import borrow
from tracking import holds
from tracking.set_aside import let_go

ROUTER = router("/api/v1/ops", tag="operators")

LET_GO_AT_ONCE = 1000
"""Envelopes that a release makes available before it answers; the scheduler sees to the rest."""

_TENANT = "SELECT id FROM tenants WHERE name = $1 OR id::text = $1 LIMIT 1"

NoKey = Annotated[str | None, Header(alias="Idempotency-Key", include_in_schema=False)]


@ROUTER.get("/holds", summary="What is held, the newest first")
async def list_holds(house: TheHouse, key: OpsKey, asked: Annotated[told.HoldQuery, Query()]) -> told.HoldPage:
    """Open holds unless `state` says otherwise, each with what is set aside under it."""
    is_open = {"open": True, "released": False}.get(asked.state)
    async with borrow(house.reads(key.tenant_id)) as conn:
        found = await holds.list_page(
            conn, key.tenant_id, is_open=is_open, kind=asked.kind, limit=asked.limit + 1, below=asked.cursor
        )
    shown = found[: asked.limit]
    items = [
        told.HoldInList.model_validate(
            {**asdict(one.hold), "waiting": {"deliveries": one.deliveries, "is_more": one.is_more}}
        )
        for one in shown
    ]
    return told.HoldPage(items=items, next_cursor=shown[-1].hold.id if len(found) > asked.limit else None)


@ROUTER.post("/holds", status_code=201, summary="Hold a template, a category, a tenant, a provider or a lane")
async def add_hold(
    house: TheHouse, key: OpsKey, asked: told.HoldAsked, response: Response, idempotency_key: NoKey = None
) -> told.HoldTold:
    """From a second after the answer on nothing that it names is begun. What is held already: 200, and the first hold
    stays."""
    refuse_key(idempotency_key)
    subject = await _subject(house, key, asked.kind, asked.subject)
    hold, is_new = await _add(house, key, asked.kind, subject, asked.why)
    response.status_code = 201 if is_new else 200
    return told.HoldTold.model_validate(hold)


@ROUTER.delete("/holds/{hold_id}", summary="Release a hold")
async def release_hold(
    house: TheHouse, key: OpsKey, hold_id: UUID, asked: Annotated[told.ReleaseQuery, Query()]
) -> told.HoldTold:
    """What was set aside goes on within ten seconds, the most urgent first. Twice: the first release is told again."""
    hold = await _release(house, key, hold_id, asked.why)
    if hold is None:
        raise not_found("hold")
    return told.HoldTold.model_validate(hold)


@ROUTER.post("/lanes/{channel}/{priority}/pause", summary="Pause a lane: a hold of it")
async def pause_lane(
    house: TheHouse,
    key: OpsKey,
    channel: Channel,
    priority: Priority,
    asked: told.WhyAsked,
    idempotency_key: NoKey = None,
) -> told.LaneTold:
    """Twice is harmless: the first hold stays."""
    refuse_key(idempotency_key)
    lane = _lane(channel, priority)
    hold, _ = await _add(house, key, HoldKind.LANE, str(lane), asked.why)
    return told.LaneTold.model_validate({"lane": str(lane), "is_paused": True, "hold": hold})


@ROUTER.post("/lanes/{channel}/{priority}/resume", summary="Let a paused lane go on")
async def resume_lane(
    house: TheHouse,
    key: OpsKey,
    channel: Channel,
    priority: Priority,
    asked: told.WhyAsked,
    idempotency_key: NoKey = None,
) -> told.LaneTold:
    """The hold that it releases is told, null when the lane was open. Other holds that name its deliveries stay."""
    refuse_key(idempotency_key)
    lane = _lane(channel, priority)
    async with borrow(house.hot_pool) as conn:
        known = await holds.find_open(conn, key.tenant_id, HoldKind.LANE, str(lane))
    released = await _release(house, key, known.id, asked.why) if known is not None else None
    return told.LaneTold.model_validate({"lane": str(lane), "is_paused": False, "hold": released})


async def _add(house: House, key: Key, kind: HoldKind, subject: str, why: str) -> tuple[Hold, bool]:
    async with borrow(house.hot_pool) as conn:
        return await holds.add(conn, key.tenant_id, kind, subject, why=why, who=key.prefix)


async def _release(house: House, key: Key, hold_id: UUID, why: str | None) -> Hold | None:
    async with borrow(house.hot_pool) as conn:
        hold = await holds.release(conn, key.tenant_id, hold_id, why=why, who=key.prefix)
        if hold is not None:
            await let_go(conn, limit=LET_GO_AT_ONCE)
    return hold


async def _subject(house: House, key: Key, kind: HoldKind, subject: str) -> str:
    """The subject as it is kept. What does not exist is refused: a hold with a slip of the pen holds nothing."""
    match kind:
        case HoldKind.CAMPAIGN:
            raise _refused("not_available_yet", "/kind", "campaigns are not available yet")
        case HoldKind.TEMPLATE if house.catalog.get(subject) is None:
            raise _refused("unknown_template", "/subject", f"there is no template {subject!r}")
        case HoldKind.CATEGORY if await house.categories.get(house.hot_pool, key.tenant_id, subject) is None:
            raise _refused("unknown_category", "/subject", f"there is no category {subject!r}")
        case HoldKind.PROVIDER if subject not in PROVIDERS:
            raise _refused("unknown_provider", "/subject", f"providers are {', '.join(PROVIDERS)}")
        case HoldKind.LANE if subject not in map(str, DECLARED_LANES):
            raise _refused("unknown_lane", "/subject", f"lanes are {', '.join(map(str, DECLARED_LANES))}")
        case HoldKind.TENANT:
            async with borrow(house.hot_pool) as conn:
                tenant = await conn.fetchval(_TENANT, subject)
            if tenant is None:
                raise _refused("unknown_tenant", "/subject", f"there is no tenant {subject!r}")
            return str(tenant)
    return subject


def _lane(channel: Channel, priority: Priority) -> Lane:
    lane = Lane(channel, priority)
    if lane not in DECLARED_LANES:
        raise _refused("not_available_yet", "/path/channel", f"{channel} is not available yet")
    return lane


def _refused(reason: str, pointer: str, detail: str) -> RequestRefused:
    return RequestRefused(reason, f"{pointer}: {detail}", faults=(Fault(pointer, detail),))
