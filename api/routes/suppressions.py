"""Addresses that nobody may write to any more: listed, added, lifted."""

from typing import Annotated
from uuid import UUID

from fastapi import Header, Query
from starlette.responses import Response

from api.dependencies import Reader, TheHouse, UsersKey
from api.errors import not_found
from api.idempotency import refuse_key
from api.routing import router
from api.schemas.people import SuppressionAsked, SuppressionPage, SuppressionQuery, SuppressionTold
from domain.errors import Fault, RequestRefused
from domain.lanes import Channel
from preferences import suppressions
from preferences.suppressions import Suppression

ROUTER = router("/api/v1/suppressions", tag="suppressions")

NoKey = Annotated[str | None, Header(alias="Idempotency-Key", include_in_schema=False)]


@ROUTER.get("", summary="Suppressed addresses, oldest first")
async def list_suppressions(
    house: TheHouse, key: Reader, asked: Annotated[SuppressionQuery, Query()]
) -> SuppressionPage:
    """A page of this tenant's; an address that was erased meanwhile is null."""
    found = await suppressions.list_page(
        house.reads(key.tenant_id), key.tenant_id, limit=asked.limit + 1, after=asked.cursor, channel=asked.channel
    )
    more = len(found) > asked.limit
    shown = found[: asked.limit]
    return SuppressionPage(items=[told(each) for each in shown], next_cursor=str(shown[-1].id) if more else None)


@ROUTER.post("", status_code=201, summary="Suppress an address")
async def add_suppression(
    house: TheHouse, key: UsersKey, asked: SuppressionAsked, idempotency_key: NoKey = None
) -> SuppressionTold:
    """Doing it twice keeps the first one, with the longer time and the stronger reason."""
    refuse_key(idempotency_key)
    if asked.expires_at is not None and asked.expires_at <= house.clock():
        detail = "must lie in the future: this suppression would be over already"
        raise RequestRefused("invalid_request", f"/expires_at: {detail}", faults=(Fault("/expires_at", detail),))
    channel = Channel.EMAIL if asked.email is not None else Channel.SMS
    added, stale_keys = await suppressions.add(
        house.hot_pool,
        house.seal,
        key.tenant_id,
        channel=channel,
        address=asked.email or asked.phone or "",
        reason=asked.reason,
        source=f"api:{key.prefix}",
        category=asked.category or "",
        expires_at=asked.expires_at,
    )
    await house.cache.delete(stale_keys)
    return told(added)


@ROUTER.delete("/{suppression_id}", status_code=204, response_class=Response, summary="Lift a suppression")
async def remove_suppression(house: TheHouse, key: UsersKey, suppression_id: UUID) -> Response:
    """404 when there is none of that id."""
    stale_keys = await suppressions.remove(house.hot_pool, key.tenant_id, suppression_id)
    if stale_keys is None:
        raise not_found("suppression")
    await house.cache.delete(stale_keys)
    return Response(status_code=204)


def told(each: Suppression) -> SuppressionTold:
    """A suppression as the API shows it."""
    return SuppressionTold(
        id=each.id,
        channel=each.channel,
        address=each.address,
        category=each.category or None,
        reason=each.reason,
        source=each.source,
        created_at=each.created_at,
        expires_at=each.expires_at,
    )
