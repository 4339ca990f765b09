"""Status webhooks: made, listed, changed, deleted; their secrets, attempts, replays and tests."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Header, Query
from starlette.responses import Response

from api.dependencies import AdminKey, House, Reader, TheHouse
from api.errors import not_found
from api.idempotency import refuse_key
from api.routing import router
from api.schemas.webhooks import (
    ReplayAsked,
    ReplayTold,
    RotationAsked,
    WebhookAsked,
    WebhookAttemptPage,
    WebhookAttemptTold,
    WebhookMade,
    WebhookPage,
    WebhookPatch,
    WebhookQuery,
    WebhookTestTold,
    WebhookTold,
)
from domain.delivery import DeliveryStatus
from domain.errors import Fault, RequestRefused
from domain.outside import UrlRefused
from domain.webhooks import EVENTS, event_of
from plumbing.outside import OutsideError
from plumbing.signatures import new_secret, read_secret
from tracking.webhooks import endpoints, replaying
from tracking.webhooks.endpoints import MOST_PER_TENANT, Webhook
from tracking.webhooks.replaying import MOST_REPLAYED, AttemptLine

ROUTER = router("/api/v1/webhooks", tag="webhooks")

NoKey = Annotated[str | None, Header(alias="Idempotency-Key", include_in_schema=False)]


@ROUTER.post("", status_code=201, summary="Be told what becomes of deliveries")
async def add(house: TheHouse, key: AdminKey, asked: WebhookAsked, idempotency_key: NoKey = None) -> WebhookMade:
    """The secret is shown this once. What happens after the answer is told; the first webhook of a platform is answered
    after two seconds and a half."""
    refuse_key(idempotency_key)
    await _need_public(house, asked.url)
    secret = asked.secret or new_secret()
    made = await endpoints.add(
        house.hot_pool,
        key.tenant_id,
        url=asked.url,
        statuses=_statuses(asked.events),
        secret_sealed=house.box.seal(key.tenant_id, read_secret(secret)),
    )
    if made is None:
        raise RequestRefused("too_many_webhooks", f"a tenant has at most {MOST_PER_TENANT} webhooks")
    return WebhookMade(**_told(made).model_dump(), secret=secret)


@ROUTER.get("", summary="Webhooks, oldest first")
async def list_all(house: TheHouse, key: Reader, asked: Annotated[WebhookQuery, Query()]) -> WebhookPage:
    """A page of this tenant's."""
    found = await endpoints.page(house.reads(key.tenant_id), key.tenant_id, limit=asked.limit + 1, after=asked.cursor)
    shown = found[: asked.limit]
    more = len(found) > asked.limit
    return WebhookPage(items=[_told(one) for one in shown], next_cursor=str(shown[-1].id) if more else None)


@ROUTER.get("/{webhook_id}", summary="One webhook")
async def get(house: TheHouse, key: Reader, webhook_id: UUID) -> WebhookTold:
    """With its state: whether it is told, and why not."""
    return _told(await _his(house, key.tenant_id, webhook_id))


@ROUTER.patch("/{webhook_id}", summary="Change a webhook, stop it, or let it be told again")
async def change(house: TheHouse, key: AdminKey, webhook_id: UUID, asked: WebhookPatch) -> WebhookTold:
    """What waits for a webhook that was disabled is told once it is active again."""
    if asked.url is not None:
        await _need_public(house, asked.url)
    changed = await endpoints.change(
        house.hot_pool,
        key.tenant_id,
        webhook_id,
        url=asked.url,
        statuses=None if asked.events is None else _statuses(asked.events),
        is_active=asked.is_active,
    )
    return _told(_found(changed))


@ROUTER.delete("/{webhook_id}", status_code=204, response_class=Response, summary="Delete a webhook")
async def delete(house: TheHouse, key: AdminKey, webhook_id: UUID) -> Response:
    """What waits for it is told to nobody."""
    if not await endpoints.delete(house.hot_pool, key.tenant_id, webhook_id):
        raise not_found("webhook")
    return Response(status_code=204)


@ROUTER.post("/{webhook_id}/rotate", summary="Give a webhook a new secret")
async def rotate(
    house: TheHouse, key: AdminKey, webhook_id: UUID, asked: RotationAsked, idempotency_key: NoKey = None
) -> WebhookMade:
    """Until the overlap is over each message carries two signatures, one of each secret."""
    refuse_key(idempotency_key)
    secret = asked.secret or new_secret()
    rotated = await endpoints.rotate(
        house.hot_pool,
        key.tenant_id,
        webhook_id,
        secret_sealed=house.box.seal(key.tenant_id, read_secret(secret)),
        overlap=timedelta(seconds=asked.overlap_s),
    )
    return WebhookMade(**_told(_found(rotated)).model_dump(), secret=secret)


@ROUTER.get("/{webhook_id}/attempts", summary="Attempts to tell a webhook, newest first")
async def attempts(
    house: TheHouse, key: Reader, webhook_id: UUID, asked: Annotated[WebhookQuery, Query()]
) -> WebhookAttemptPage:
    """Kept for 30 days, with the first 500 characters of each answer."""
    await _his(house, key.tenant_id, webhook_id)
    found = await replaying.attempts(house.reads(key.tenant_id), webhook_id, limit=asked.limit + 1, before=asked.cursor)
    shown = found[: asked.limit]
    more = len(found) > asked.limit
    return WebhookAttemptPage(items=[_line(one) for one in shown], next_cursor=str(shown[-1].id) if more else None)


@ROUTER.post("/{webhook_id}/replay", status_code=202, summary="Tell a webhook again")
async def replay(
    house: TheHouse, key: AdminKey, webhook_id: UUID, asked: ReplayAsked, idempotency_key: NoKey = None
) -> ReplayTold:
    """Under the same ids, and with all attempts anew. `until` is now where it is left out."""
    refuse_key(idempotency_key)
    await _his(house, key.tenant_id, webhook_id)
    if asked.message_id is not None:
        if not await replaying.replay_one(house.hot_pool, webhook_id, asked.message_id):
            raise not_found("message")
        return ReplayTold(replayed=1, has_more=False)
    now = house.clock()
    count = await replaying.replay_many(
        house.hot_pool,
        webhook_id,
        since=asked.since or now,
        until=asked.until or now,
        failed_only=asked.failed_only,
    )
    return ReplayTold(replayed=count, has_more=count == MOST_REPLAYED)


@ROUTER.post("/{webhook_id}/test", status_code=202, summary="Tell a webhook a test event")
async def send_test(house: TheHouse, key: AdminKey, webhook_id: UUID, idempotency_key: NoKey = None) -> WebhookTestTold:
    """`webhook.test`, signed and tried as any other; a disabled webhook is refused."""
    refuse_key(idempotency_key)
    webhook = await _his(house, key.tenant_id, webhook_id)
    if webhook.disabled_at is not None:
        raise RequestRefused("webhook_disabled", "it is disabled: set is_active first", 409)
    return WebhookTestTold(message_id=await replaying.note_test(house.hot_pool, key.tenant_id, webhook_id))


async def _need_public(house: House, url: str) -> None:
    """RequestRefused(422) for a URL that we would not call. It is judged again at each attempt."""
    try:
        await house.outside.addresses(house.outside.read(url))
    except (UrlRefused, OutsideError) as error:
        raise RequestRefused("invalid_request", f"/url: {error}", faults=(Fault("/url", str(error)),)) from None


async def _his(house: House, tenant: UUID, webhook: UUID) -> Webhook:
    return _found(await endpoints.get(house.reads(tenant), tenant, webhook))


def _found(webhook: Webhook | None) -> Webhook:
    if webhook is None:
        raise not_found("webhook")
    return webhook


def _statuses(events: list[str]) -> list[DeliveryStatus]:
    return list(dict.fromkeys(EVENTS[name] for name in events))


def _told(webhook: Webhook) -> WebhookTold:
    return WebhookTold(
        id=webhook.id,
        url=webhook.url,
        events=[event_of(status) for status in webhook.statuses],
        is_active=webhook.disabled_at is None,
        disabled_reason=webhook.disabled_reason,
        disabled_at=webhook.disabled_at,
        failing_since=webhook.failing_since,
        old_secret_until=webhook.old_secret_until,
        created_at=webhook.created_at,
    )


def _line(one: AttemptLine) -> WebhookAttemptTold:
    is_known = one.is_test or one.status is not None
    return WebhookAttemptTold(
        id=one.id,
        message_id=one.message_id,
        type=event_of(one.status) if is_known else None,
        delivery_id=one.delivery_id,
        attempt=one.number,
        at=one.at,
        status_code=one.status_code,
        answer=one.answer,
        error=one.error,
        duration_ms=one.duration_ms,
    )
