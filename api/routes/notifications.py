"""What became of notifications: one, many, in brief, explained, counted; and taking one back."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from api.dependencies import Reader, SenderKey, TheHouse
from api.errors import not_found
from api.hot import PATH
from api.plain import in_json
from api.routing import router
from api.schemas import notifications as told
from channels.push import mailbox
from channels.push.hints import withdraw
from tracking import history, rollups
from tracking.cancel import cancel
from tracking.views import View
from tracking.walk import Filters

ROUTER = router(PATH, tag="notifications")

_STATS_REACH = timedelta(days=1)
"""How far statistics reach back when nobody says since when."""


@ROUTER.get("", summary="Notifications, newest first", response_model=told.NotificationPage)
async def list_notifications(house: TheHouse, key: Reader, asked: Annotated[told.ListQuery, Query()]) -> Response:
    """A page of this tenant's notifications; `status` and `channel` speak of deliveries."""
    filters = Filters(
        status=asked.status,
        channel=asked.channel,
        user=asked.user,
        category=asked.category,
        priority=asked.priority,
        campaign_id=asked.broadcast,
        since=asked.since,
        until=asked.until,
    )
    page = await history.listing(
        house.reads(key.tenant_id), key.tenant_id, filters, limit=asked.limit, cursor=asked.cursor
    )
    return in_json(page)


@ROUTER.get("/stats", summary="Counts of deliveries, from roll-ups")
async def count_notifications(
    house: TheHouse, key: Reader, asked: Annotated[told.StatsQuery, Query()]
) -> told.StatsTold:
    """Deliveries by status and what else is asked for, as of the last roll-up; those of the key's mode."""
    since = asked.since or house.clock() - _STATS_REACH
    found = await rollups.stats(
        house.reads(key.tenant_id), key.tenant_id, since, asked.group_by, mode=asked.mode or key.mode
    )
    items = [{"group": told.count_group(c.group), "status": c.status, "count": c.count} for c in found.counts]
    return told.StatsTold.model_validate({"since": since, "as_of": found.as_of, "items": items})


@ROUTER.get(
    "/{notification_id}",
    summary="One notification, with its deliveries and their attempts",
    response_model=told.NotificationInFull,
)
async def get_notification(house: TheHouse, key: Reader, notification_id: UUID) -> Response:
    """404 for what does not exist, or is somebody else's."""
    return _found(await history.one(house.reads(key.tenant_id), key.tenant_id, notification_id))


@ROUTER.get("/{notification_id}/status", summary="Where one notification stands", response_model=told.NotificationState)
async def get_status(house: TheHouse, key: Reader, notification_id: UUID) -> Response:
    """The status alone, for those who ask often."""
    return _found(await history.status(house.reads(key.tenant_id), key.tenant_id, notification_id))


@ROUTER.get(
    "/{notification_id}/explain",
    summary="Why one notification went the way it went",
    response_model=told.ExplanationTold,
)
async def explain_notification(house: TheHouse, key: Reader, notification_id: UUID) -> Response:
    """Every gate's verdict with its inputs, and every event since."""
    return _found(await history.explain(house.reads(key.tenant_id), key.tenant_id, notification_id))


def _found(view: View | None) -> Response:
    if view is None:
        raise not_found("notification")
    return in_json(view)


@ROUTER.delete("/{notification_id}", summary="Take a notification back, as far as that can be done")
async def cancel_notification(house: TheHouse, key: SenderKey, notification_id: UUID) -> told.CancellationTold:
    """Doing it twice gives the same answer. Devices that have a push of it are asked to take it back."""
    found = await cancel(house.hot_pool, key.tenant_id, notification_id, forget=mailbox.forget)
    if found is None:
        raise not_found("notification")
    reached = [(each.device_id, each.delivery_id) for each in found if each.device_id is not None]
    await withdraw(house.nodes, reached)
    deliveries = [{"id": each.delivery_id, "channel": each.channel, "outcome": each.outcome} for each in found]
    return told.CancellationTold.model_validate({"id": notification_id, "deliveries": deliveries})
