"""The stuck list: what is late, and what the platform does about it by itself, so that nobody has to guess."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

from api.dependencies import House, OpsKey, TheHouse
from api.routes.overview import depths, in_postgres, in_time, paused
from api.routing import router
from api.schemas import stuck as told
from domain.delivery import DeliveryStatus
from domain.lanes import DECLARED_LANES
from plumbing.beats import Beat, beats
from tracking import stuck
from tracking.stuck import StuckDelivery, StuckLane

ROUTER = router("/api/v1/ops", tag="operators")

_WILL = {
    DeliveryStatus.SENDING: "the sweeper ends the attempt as unknown: it is queued again, or ambiguous, as its category"
    " says; after three it is a dead letter",
    DeliveryStatus.RESTING: "the sweeper publishes it again",
}
_NO_ROOM = "the relay publishes it when the broker answers and the lane has room there"
_NO_WORKER = "nothing: no worker that is alive takes this lane; start one"
_NO_BEGIN = "its workers begin it when its breaker lets them: see breakers"


@ROUTER.get("/stuck", summary="What is late, and what the platform does about it by itself")
async def list_stuck(house: TheHouse, key: OpsKey) -> told.StuckPage:
    """Deliveries of the key's tenant, lanes of the platform. Within two seconds, whatever is silent."""

    async def of_tenant(conn: Any) -> list[StuckDelivery]:
        return await stuck.stuck_deliveries(conn, key.tenant_id)

    async def of_lanes(conn: Any) -> list[StuckLane]:
        return await stuck.unpublished(conn, list(DECLARED_LANES))

    answers = await asyncio.gather(
        in_time(in_postgres(house, of_tenant)),
        in_time(in_postgres(house, of_lanes)),
        in_time(in_postgres(house, beats)),
        in_time(depths(house)),
        in_time(paused(house, key)),
    )
    late, lanes, roles, in_broker, held = answers
    unknown = [
        name
        for name, part in zip(("deliveries", "outbox", "roles", "broker", "paused"), answers, strict=True)
        if part is None
    ]
    items = [
        *(_delivery(one) for one in late or ()),
        *(_lane(house, one) for one in lanes or ()),
        *(_unmoved(in_broker, roles, held) if in_broker and roles is not None else ()),
    ]
    return told.StuckPage(items=items, unknown=unknown)


def _delivery(one: StuckDelivery) -> told.StuckTold:
    return told.StuckTold(
        kind="sending" if one.status is DeliveryStatus.SENDING else "resting",
        lane=str(one.lane),
        delivery_id=one.id,
        status=one.status,
        since=one.since,
        count=1,
        will=_WILL[one.status],
        will_at=one.looked_at,
    )


def _lane(house: House, one: StuckLane) -> told.StuckTold:
    return told.StuckTold(
        kind="unpublished",
        lane=str(one.lane),
        delivery_id=None,
        status=None,
        since=house.clock() - timedelta(seconds=one.oldest_s),
        count=one.envelopes,
        will=_NO_ROOM,
        will_at=None,
    )


def _unmoved(in_broker: dict[str, int], roles: list[Beat], held: set[str] | None) -> list[told.StuckTold]:
    """Lanes of the broker with messages of which nothing was begun; those that are paused stand still on purpose."""
    alive = [beat for beat in roles if beat.is_alive and beat.role == "worker"]
    begun = sum((Counter(beat.facts.get("per_minute", {})) for beat in alive), Counter[str]())
    served = {lane for beat in alive for lane in beat.facts.get("lanes", ())}
    return [
        told.StuckTold(
            kind="unmoved",
            lane=lane,
            delivery_id=None,
            status=None,
            since=None,
            count=depth,
            will=_NO_BEGIN if lane in served else _NO_WORKER,
            will_at=None,
        )
        for lane, depth in in_broker.items()
        if depth and not begun[lane] and lane not in (held or ())
    ]
