"""What became of notifications: one, many, in brief, explained, counted; and taking one back."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import Query

from api.dependencies import Reader, SenderKey, TheHouse
from api.errors import not_found
from api.hot import PATH
from api.routing import router
from api.schemas import notifications as told
from channels.push import mailbox
from channels.push.hints import withdraw
from tracking import history, rollups
from tracking.cancel import cancel
from tracking.views import Explanation
from tracking.walk import Filters

ROUTER = router(PATH, tag="notifications")

_STATS_REACH = timedelta(days=1)
"""How far statistics reach back when nobody says since when."""


@ROUTER.get("", summary="Notifications, newest first")
async def list_notifications(
    house: TheHouse, key: Reader, asked: Annotated[told.ListQuery, Query()]
) -> told.NotificationPage:
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
    page = await history.listing(house.engine, key.tenant_id, filters, limit=asked.limit, cursor=asked.cursor)
    return told.NotificationPage.model_validate(page)


@ROUTER.get("/stats", summary="Counts of deliveries, from roll-ups")
async def count_notifications(
    house: TheHouse, key: Reader, asked: Annotated[told.StatsQuery, Query()]
) -> told.StatsTold:
    """Deliveries by status and what else is asked for, as of the last roll-up; those of the key's mode."""
    since = asked.since or house.clock() - _STATS_REACH
    found = await rollups.stats(house.engine, key.tenant_id, since, asked.group_by, mode=asked.mode or key.mode)
    items = [{"group": told.count_group(c.group), "status": c.status, "count": c.count} for c in found.counts]
    return told.StatsTold.model_validate({"since": since, "as_of": found.as_of, "items": items})


@ROUTER.get("/{notification_id}", summary="One notification, with its deliveries and their attempts")
async def get_notification(house: TheHouse, key: Reader, notification_id: UUID) -> told.NotificationInFull:
    """404 for what does not exist, or is somebody else's."""
    found = await history.one(house.engine, key.tenant_id, notification_id)
    if found is None:
        raise not_found("notification")
    return told.NotificationInFull.model_validate(found)


@ROUTER.get("/{notification_id}/status", summary="Where one notification stands")
async def get_status(house: TheHouse, key: Reader, notification_id: UUID) -> told.NotificationState:
    """The status alone, for those who ask often."""
    found = await history.status(house.engine, key.tenant_id, notification_id)
    if found is None:
        raise not_found("notification")
    status, deliveries = found
    states = [{"id": identifier, "status": each} for identifier, each in deliveries.items()]
    return told.NotificationState.model_validate({"id": notification_id, "status": status, "deliveries": states})


@ROUTER.get("/{notification_id}/explain", summary="Why one notification went the way it went")
async def explain_notification(house: TheHouse, key: Reader, notification_id: UUID) -> told.ExplanationTold:
    """Every gate's verdict with its inputs, and every event since."""
    found = await history.explain(house.engine, key.tenant_id, notification_id)
    if found is None:
        raise not_found("notification")
    return explained(found)


def explained(found: Explanation) -> told.ExplanationTold:
    """An explanation as the API shows it."""
    asked_at = {"at": found.notification.created_at}
    gates = msgspec.json.decode(found.notification.decisions)["gates"]
    return told.ExplanationTold(
        notification=told.NotificationInFull.model_validate(found.notification),
        gates=[told.GateTold.model_validate(gate | asked_at) for gate in gates],
        events=[told.EventTold.model_validate(event) for event in found.events],
    )


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
