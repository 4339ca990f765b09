"""Topics: declared, counted, and subscribed to by one device or by a thousand."""

from functools import partial
from typing import Annotated
from uuid import UUID

import asyncpg
from fastapi import Header, Path, Query
from starlette.responses import Response

from api import registry
from api.dependencies import House, Reader, TheHouse, UsersKey
from api.errors import not_found
from api.idempotency import refuse_key
from api.routing import router
from api.schemas.topics import (
    TOPIC_NAME,
    SubscriptionPage,
    SubscriptionsAsked,
    SubscriptionsTold,
    SubscriptionTold,
    TopicAsked,
    TopicPage,
    TopicQuery,
    TopicTold,
)
from channels.push import devices, topics
from channels.push.devices import Touched
from channels.push.topics import Subscribed, Subscription, Topic, TopicStorage
from domain.errors import Fault, RequestRefused

ROUTER = router("/api/v1", tag="topics")

TopicInPath = Annotated[str, Path(pattern=TOPIC_NAME)]
NoKey = Annotated[str | None, Header(alias="Idempotency-Key", include_in_schema=False)]


@ROUTER.get("/topics", summary="Topics by name")
async def list_topics(house: TheHouse, key: Reader, asked: Annotated[TopicQuery, Query()]) -> TopicPage:
    """A page of this tenant's, with counts."""
    found = await topics.list_page(
        house.reads(key.tenant_id), key.tenant_id, limit=asked.limit + 1, after=asked.cursor or ""
    )
    shown = found[: asked.limit]
    return TopicPage(
        items=[_told(each) for each in shown], next_cursor=shown[-1].name if len(found) > asked.limit else None
    )


@ROUTER.get("/topics/{topic}", summary="One topic, and how many subscribe to it")
async def get_topic(house: TheHouse, key: Reader, topic: TopicInPath) -> TopicTold:
    """404 for a topic that was never declared and never subscribed to."""
    return _told(await _topic(house, key.tenant_id, topic))


@ROUTER.put("/topics/{topic}", summary="Declare a topic", responses={201: {"model": TopicTold}})
async def put_topic(
    house: TheHouse, key: UsersKey, topic: TopicInPath, asked: TopicAsked, response: Response
) -> TopicTold:
    """What is kept for subscribers that are away: the most recent message, or none. Subscribing declares it too."""
    is_new = await topics.put(house.hot_pool, key.tenant_id, topic, TopicStorage(asked.storage))
    response.status_code = 201 if is_new else 200
    return _told(await _topic(house, key.tenant_id, topic))


@ROUTER.post("/topics/{topic}/subscriptions", summary="Put devices on a topic and take others off")
async def change_subscriptions(
    house: TheHouse, key: UsersKey, topic: TopicInPath, asked: SubscriptionsAsked, idempotency_key: NoKey = None
) -> SubscriptionsTold:
    """All of it or nothing; doing it twice changes nothing more."""
    refuse_key(idempotency_key)
    if both := set(asked.subscribe) & set(asked.unsubscribe):
        detail = f"{min(both)} stands in subscribe and in unsubscribe"
        raise RequestRefused("invalid_request", f"/unsubscribe: {detail}", faults=(Fault("/unsubscribe", detail),))
    return await registry.write(house, partial(_change, tenant=key.tenant_id, topic=topic, asked=asked))


@ROUTER.get("/devices/{device_id}/topics", summary="The topics of a device")
async def list_subscriptions(
    house: TheHouse, key: Reader, device_id: UUID, asked: Annotated[TopicQuery, Query()]
) -> SubscriptionPage:
    """A page by name. 404 when this tenant has no such device."""
    await _need_device(house, key.tenant_id, device_id)
    found = await topics.of_device(
        house.reads(key.tenant_id), key.tenant_id, device_id, limit=asked.limit + 1, after=asked.cursor or ""
    )
    shown = found[: asked.limit]
    return SubscriptionPage(
        items=[SubscriptionTold.model_validate(each) for each in shown],
        next_cursor=shown[-1].topic if len(found) > asked.limit else None,
    )


@ROUTER.put(
    "/devices/{device_id}/topics/{topic}",
    summary="Subscribe a device",
    responses={201: {"model": SubscriptionTold}},
)
async def subscribe(
    house: TheHouse, key: UsersKey, device_id: UUID, topic: TopicInPath, response: Response
) -> SubscriptionTold:
    """201 when it was not subscribed, else 200. 404 when this tenant has no such device, 422 when it has too many."""
    subscribed, subscription = await registry.write(
        house, partial(_subscribe, tenant=key.tenant_id, topic=topic, device_id=device_id)
    )
    if subscribed.unknown:
        raise not_found("device")
    if subscribed.full or subscription is None:
        raise RequestRefused("too_many_topics", f"a device has at most {topics.MAX_OF_DEVICE} topics")
    response.status_code = 201 if subscribed.added else 200
    return SubscriptionTold.model_validate(subscription)


@ROUTER.delete(
    "/devices/{device_id}/topics/{topic}", status_code=204, response_class=Response, summary="Unsubscribe a device"
)
async def unsubscribe(house: TheHouse, key: UsersKey, device_id: UUID, topic: TopicInPath) -> Response:
    """204 also when it was not subscribed. 404 when this tenant has no such device."""
    asked = SubscriptionsAsked(unsubscribe=[device_id])
    done = await registry.write(house, partial(_change, tenant=key.tenant_id, topic=topic, asked=asked))
    if done.unknown:
        raise not_found("device")
    return Response(status_code=204)


async def _subscribe(
    conn: asyncpg.Connection, *, tenant: UUID, topic: str, device_id: UUID
) -> tuple[tuple[Subscribed, Subscription | None], Touched]:
    subscribed = await topics.subscribe(conn, tenant, topic, [device_id])
    return (subscribed, await topics.subscription(conn, tenant, device_id, topic)), Touched()


async def _change(
    conn: asyncpg.Connection, *, tenant: UUID, topic: str, asked: SubscriptionsAsked
) -> tuple[SubscriptionsTold, Touched]:
    subscribed = await topics.subscribe(conn, tenant, topic, asked.subscribe)
    removed, unknown = await topics.unsubscribe(conn, tenant, topic, asked.unsubscribe)
    told = SubscriptionsTold(
        subscribed=len(subscribed.added),
        unsubscribed=len(removed),
        full=sorted(subscribed.full),
        unknown=sorted(subscribed.unknown | unknown),
    )
    return told, Touched()


async def _topic(house: House, tenant: UUID, name: str) -> Topic:
    found = await topics.get(house.reads(tenant), tenant, name)
    if found is None:
        raise not_found("topic")
    return found


async def _need_device(house: House, tenant: UUID, device_id: UUID) -> None:
    if await devices.get(house.reads(tenant), tenant, device_id) is None:
        raise not_found("device")


def _told(topic: Topic) -> TopicTold:
    return TopicTold(
        topic=topic.name, storage=topic.storage, subscribers=topic.subscribers, created_at=topic.created_at
    )
