"""Publications to topics: taken, watched, listed, stopped."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Body, Header, Query
from starlette.responses import Response

from api.dependencies import House, Reader, SenderKey, TheHouse
from api.errors import not_found
from api.idempotency import read_key
from api.publication import read_publication
from api.routes.topics import TopicInPath
from api.routing import router
from api.schemas.broadcasts import BroadcastAccepted, BroadcastInList, BroadcastPage, BroadcastQuery, BroadcastTold
from campaigns import broadcasts
from campaigns.broadcasts import Broadcast
from campaigns.publication import published
from fanout.cases import Sender
from plumbing.database import borrow
from tracking import campaigns

ROUTER = router("/api/v1", tag="broadcasts")

MAX_COUNTED = 100_000
"""Deliveries that are counted while somebody waits: about a second's work for PostgreSQL."""

Document = Annotated[dict[str, Any], Body()]
IdempotencyKeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", description="kept 24 hours: the same request again gets the first broadcast, as it is"
    ),
]


@ROUTER.post(
    "/topics/{topic}/notifications",
    status_code=202,
    summary="Publish to a topic",
    responses={409: {"description": "a request with this Idempotency-Key is still running"}},
)
async def publish(
    house: TheHouse,
    key: SenderKey,
    topic: TopicInPath,
    document: Document,
    response: Response,
    idempotency_key: IdempotencyKeyHeader = None,
) -> BroadcastAccepted:
    """Every device that is subscribed by now gets one delivery, judged by its user's preferences. 404 for a topic that
    was never declared and never subscribed to."""
    path = f"/api/v1/topics/{topic}/notifications"
    known = read_key(idempotency_key, key.tenant_id, key.mode, method="POST", path=path, body=document)
    request = read_publication(document, now=house.clock())
    storage = await broadcasts.storage_of(house.hot_pool, key.tenant_id, topic)
    if storage is None:
        raise not_found("topic")
    category = await house.categories.get(house.hot_pool, key.tenant_id, request.category or "general")
    made = published(request, topic, category, storage=storage)
    sender = Sender(key.tenant_id, key.mode, key.id, key.prefix)
    broadcast, is_replay = await broadcasts.create(house.hot_pool, sender, topic, made, known)
    response.headers["location"] = f"/api/v1/broadcasts/{broadcast.id}"
    if is_replay:
        response.headers["idempotent-replayed"] = "true"
    return BroadcastAccepted.model_validate(broadcast)


@ROUTER.get("/broadcasts", summary="Broadcasts, newest first")
async def list_broadcasts(house: TheHouse, key: Reader, asked: Annotated[BroadcastQuery, Query()]) -> BroadcastPage:
    """A page of this tenant's, of one topic or of all."""
    found = await broadcasts.list_page(
        house.reads(key.tenant_id), key.tenant_id, topic=asked.topic, below=asked.cursor, limit=asked.limit + 1
    )
    shown = [BroadcastInList.model_validate(each) for each in found[: asked.limit]]
    return BroadcastPage(items=shown, next_cursor=str(shown[-1].id) if len(found) > asked.limit else None)


@ROUTER.get("/broadcasts/{broadcast_id}", summary="One broadcast, and where its deliveries stand")
async def get_broadcast(house: TheHouse, key: Reader, broadcast_id: UUID) -> BroadcastTold:
    """404 for what does not exist, or is somebody else's."""
    return await _told(house, await broadcasts.get(house.reads(key.tenant_id), key.tenant_id, broadcast_id))


@ROUTER.delete("/broadcasts/{broadcast_id}", summary="Stop a broadcast")
async def cancel_broadcast(house: TheHouse, key: SenderKey, broadcast_id: UUID) -> BroadcastTold:
    """Nothing more is planned from the answer on; what waits is withdrawn after it, and `finished_at` says when all of
    it was. What a device was handed stays there. Doing it twice is doing it once."""
    return await _told(house, await broadcasts.cancel(house.hot_pool, key.tenant_id, broadcast_id))


async def _told(house: House, broadcast: Broadcast | None) -> BroadcastTold:
    if broadcast is None:
        raise not_found("broadcast")
    counts = None
    if broadcast.planned <= MAX_COUNTED:
        async with borrow(house.reads(broadcast.tenant_id)) as conn:
            counts = await campaigns.counts(conn, broadcast.id)
    shown = BroadcastInList.model_validate(broadcast).model_dump()
    return BroadcastTold.model_validate({**shown, "deliveries": counts})
