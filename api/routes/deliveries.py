"""Single deliveries: listed, resolved where nobody could know, and hurried after an outage."""

import asyncio
from collections.abc import Callable
from typing import Annotated
from uuid import UUID

from fastapi import Header, Query, Response

from api.dependencies import OpsKey, Reader, TheHouse
from api.errors import not_found
from api.idempotency import refuse_key
from api.plain import in_json
from api.routing import router
from api.schemas import deliveries as told
from domain.holds import PROVIDERS
from tracking import history, resolve
from tracking.views import View
from tracking.walk import Filters

ROUTER = router("/api/v1/deliveries", tag="deliveries")

HURRY_S = 1.5
"""So long one call by filter looks for resting deliveries; then it answers how to go on."""

_OF_NOTIFICATION = ("user", "template", "category", "expires_at")

NoKey = Annotated[str | None, Header(alias="Idempotency-Key", include_in_schema=False)]


@ROUTER.get("", summary="Deliveries, newest first", response_model=told.DeliveryPage)
async def list_deliveries(house: TheHouse, key: Reader, asked: Annotated[told.DeliveryQuery, Query()]) -> Response:
    """A page of this tenant's: `?status=ambiguous` is what waits for a person."""
    filters = Filters(status=asked.status, channel=asked.channel, since=asked.since, until=asked.until)
    page = await history.listing(
        house.reads(key.tenant_id), key.tenant_id, filters, limit=asked.limit, cursor=asked.cursor
    )
    return in_json(
        deliveries_of(
            page, lambda one: asked.status in (None, one["status"]) and asked.channel in (None, one["channel"])
        )
    )


def deliveries_of(page: View, is_asked_for: Callable[[View], bool]) -> View:
    """A page of notifications as one of their deliveries, each with what it is a delivery of."""
    items = [
        {**one, "notification_id": each["id"], **{name: each[name] for name in _OF_NOTIFICATION}}
        for each in page["items"]
        for one in each["deliveries"]
        if is_asked_for(one)
    ]
    return {**page, "items": items}


@ROUTER.post("/retry-now", summary="Let resting deliveries go at once: after an outage of a provider")
async def retry_all(
    house: TheHouse, key: OpsKey, asked: told.RetryAllAsked, idempotency_key: NoKey = None
) -> told.RetriedTold:
    """They go as their lanes have room, so nobody is stampeded. Call it again with the cursor until there is none."""
    refuse_key(idempotency_key)
    channel = PROVIDERS[asked.provider] if asked.provider is not None else None
    loop = asyncio.get_running_loop()
    until_s, retried, after = loop.time() + HURRY_S, 0, asked.cursor
    while True:
        part = await resolve.retry_all_now(
            house.hot_pool,
            key.tenant_id,
            channel=channel,
            reason=asked.reason,
            why=asked.why,
            who=key.prefix,
            after=after,
        )
        retried, after = retried + part.count, part.after
        if after is None or loop.time() > until_s:
            return told.RetriedTold(retried=retried, next_cursor=after)


@ROUTER.post("/{delivery_id}/resolve", summary="Say what an ambiguous delivery was, or try it again")
async def resolve_delivery(
    house: TheHouse, key: OpsKey, delivery_id: UUID, asked: told.ResolveAsked, idempotency_key: NoKey = None
) -> told.ChangedTold:
    """Who decided and why stands in its events. The same twice is harmless; what is not ambiguous is a 409."""
    refuse_key(idempotency_key)
    changed = await resolve.resolve(
        house.hot_pool, key.tenant_id, delivery_id, asked.as_, why=asked.why, who=key.prefix
    )
    if changed is None:
        raise not_found("delivery")
    return told.ChangedTold.model_validate(changed)


@ROUTER.post("/{delivery_id}/retry-now", summary="Let one resting delivery go at once")
async def retry_one(
    house: TheHouse, key: OpsKey, delivery_id: UUID, asked: told.RetryAsked, idempotency_key: NoKey = None
) -> told.ChangedTold:
    """The attempt counts as the one it rested for. What does not rest is a 409."""
    refuse_key(idempotency_key)
    changed = await resolve.retry_now(house.hot_pool, key.tenant_id, delivery_id, why=asked.why, who=key.prefix)
    if changed is None:
        raise not_found("delivery")
    return told.ChangedTold.model_validate(changed)
