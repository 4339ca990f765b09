"""One push: who may send it, to which device, what it says; then the same way in as every other notification."""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol
from uuid import UUID

from api.apns import headers as names
from api.apns.headers import Wishes
from api.apns.provider_tokens import Provider
from api.apns.reasons import ApnsReason, PushRefused
from api.apns.signing_keys import SigningKey
from api.dependencies import Submits
from api.strict_json import read_clean
from channels.push.tokens import KnownDevice
from domain.clock import Clock, utc_now
from domain.errors import RequestRefused
from domain.lanes import Channel
from domain.notification import Content, Mode, NotificationRequest, PushParts, Recipient
from domain.push import LIVE_ONLY_S, MAX_LIFE_S, MAX_PAYLOAD_BYTES, PRIORITY_OF_WAKE, Wake
from fanout.cases import Accepted, IdempotencyKey, Item, Sender

PATH = "/3/device/"
MAX_TOKEN = 400
"""Hexadecimal digits of a device token. Apple says only that its length may change."""

OUR_PROVIDER = "carillon"
_HEX = frozenset("0123456789abcdefABCDEF")


class FindsDevices(Protocol):
    """Who is behind a device token: `channels.push.tokens.Tokens`."""

    async def find(self, token_hashes: Sequence[bytes]) -> Mapping[bytes, Sequence[KnownDevice]]:
        """The devices that have a token, of every app. Raises Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Pushing:
    """What taking a push needs."""

    verify: Callable[[str | None], Awaitable[Provider]]
    devices: FindsDevices
    token_hash: Callable[[str], bytes]
    batcher: Submits
    clock: Clock = utc_now


@dataclass(frozen=True, slots=True)
class Taken:
    """A push that was accepted, by which key, and whether it had been before."""

    accepted: Accepted
    key: SigningKey


async def take(
    pushing: Pushing, method: str, path: str, headers: Mapping[str, str], body: bytes, *, apns_id: str
) -> Taken:
    """Accept one push; it is in PostgreSQL then. The order of the checks is Apple's.

    `apns_id` is what it is answered with: the sender's, else ours.

    Raises PushRefused or Unavailable; nothing is known to be kept then.
    """
    token = read_path(method, path)
    provider = await pushing.verify(headers.get(names.AUTHORIZATION))
    topic, bundle_id = names.read_topic(headers)
    keys = [key for key in provider.keys if key.bundle_id == bundle_id]
    if not keys:
        raise PushRefused(ApnsReason.TOPIC_DISALLOWED)
    check_token(token)
    device, key = choose_device(await _find(pushing, token), keys, provider)
    wishes = names.read_wishes(headers)
    payload = read_payload(body)
    now_s = pushing.clock().timestamp()
    request = compose(device.id, payload, wishes, apns_id=apns_id, life_s=key.expires_in_s, now_s=now_s)
    once = idempotency_key(device, apns_id, topic, wishes, body) if names.APNS_ID in headers else None
    sender = Sender(key.tenant_id, Mode.LIVE, key.id, f"apns:{provider.name[1]}")
    try:
        return Taken(await pushing.batcher.submit(Item(sender, request, once)), key)
    except RequestRefused as refusal:
        raise in_apples_words(refusal) from refusal


def read_path(method: str, path: str) -> str:
    """The token in the path, perhaps an empty one. PushRefused: BadPath, MethodNotAllowed."""
    if not path.startswith(PATH) and path != PATH.rstrip("/"):
        raise PushRefused(ApnsReason.BAD_PATH)
    token = path[len(PATH) :]
    if "/" in token:
        raise PushRefused(ApnsReason.BAD_PATH)
    if method != "POST":
        raise PushRefused(ApnsReason.METHOD_NOT_ALLOWED)
    return token


def check_token(token: str) -> None:
    """PushRefused: MissingDeviceToken, BadDeviceToken for what is not hexadecimal."""
    if not token:
        raise PushRefused(ApnsReason.MISSING_DEVICE_TOKEN)
    if len(token) > MAX_TOKEN or len(token) % 2 or not _HEX.issuperset(token):
        raise PushRefused(ApnsReason.BAD_DEVICE_TOKEN)


async def _find(pushing: Pushing, token: str) -> list[KnownDevice]:
    """The devices with a token as it is written, or in lower case, as most write it."""
    hashes = [pushing.token_hash(each) for each in dict.fromkeys((token, token.lower()))]
    found = await pushing.devices.find(hashes)
    return [device for each in hashes for device in found.get(each, ())]


def choose_device(
    found: Sequence[KnownDevice], keys: Sequence[SigningKey], provider: Provider
) -> tuple[KnownDevice, SigningKey]:
    """The device that the token is for, and the key of its app. PushRefused: 400, or 410 when it is gone.

    What belongs to tenants that this provider does not speak for is as unknown to it as what does not exist.
    """
    by_app = {key.app_id: key for key in keys}
    ours = [device for device in found if device.provider == OUR_PROVIDER]
    for device in ours:
        key = by_app.get(device.app_id)
        if key is None:
            continue
        if device.is_valid:
            return device, key
        gone_at = device.invalidated_at
        raise PushRefused(ApnsReason.UNREGISTERED, gone_at_ms=int(gone_at.timestamp() * 1000) if gone_at else None)
    tenants = {key.tenant_id for key in provider.keys}
    if any(device.tenant_id in tenants for device in ours):
        raise PushRefused(ApnsReason.DEVICE_TOKEN_NOT_FOR_TOPIC)
    raise PushRefused(ApnsReason.BAD_DEVICE_TOKEN)


def read_payload(body: bytes) -> dict[str, Any]:
    """The JSON object of a push. PushRefused: PayloadTooLarge, and PayloadEmpty for what holds no push.

    Apple has no reason for a body that is not JSON; PayloadEmpty is the only one that speaks of what is inside.
    """
    if len(body) > MAX_PAYLOAD_BYTES:
        raise PushRefused(ApnsReason.PAYLOAD_TOO_LARGE)
    try:
        payload = read_clean(body)
    except RequestRefused:
        raise PushRefused(ApnsReason.PAYLOAD_EMPTY) from None
    if not isinstance(payload, dict) or not payload or not isinstance(payload.get("aps", {}), dict):
        raise PushRefused(ApnsReason.PAYLOAD_EMPTY)
    return payload


def compose(
    device_id: UUID, payload: dict[str, Any], wishes: Wishes, *, apns_id: str, life_s: int, now_s: float
) -> NotificationRequest:
    """The push as a notification request. Apple wakes a device at once unless it is told otherwise.

    `life_s` is how long the app has pushes kept that say nothing of it.
    """
    wake = wishes.wake or Wake.NOW
    is_live_only = wishes.expiration == 0
    return NotificationRequest(
        to=Recipient(device_id=device_id),
        content=Content(push=PushParts(payload, int(wake), is_live_only)),
        channels=(Channel.PUSH,),
        priority=PRIORITY_OF_WAKE[wake],
        category="general",
        collapse_id=wishes.collapse_id,
        expires_in_s=_life(wishes.expiration, life_s, now_s),
        reference=apns_id,
    )


def _life(expiration: int | None, life_s: int, now_s: float) -> int:
    """Seconds that a push is worth anything; none and less: it was too late when it came, which is written down."""
    if expiration is None:
        return min(life_s, MAX_LIFE_S)
    if expiration == 0:
        return LIVE_ONLY_S
    return min(MAX_LIFE_S, max(0, math.ceil(expiration - now_s)))


def idempotency_key(device: KnownDevice, apns_id: str, topic: str, wishes: Wishes, body: bytes) -> IdempotencyKey:
    """By what a push is known when it comes again, and what it must then be the same in.

    The time of expiry is not compared, only whether there is any storing: client libraries reckon it anew, from the
    same time to live, when they try again.
    """
    if apns_id is None:
        return None
    key = blake2b(
        device.tenant_id.bytes + device.id.bytes + apns_id.lower().encode(), digest_size=16, person=b"apns-id"
    )
    said = (topic, wishes.push_type, wishes.wake, wishes.collapse_id, wishes.expiration == 0)
    fingerprint = blake2b(repr(said).encode() + b"\0" + body, digest_size=16)
    return IdempotencyKey(UUID(bytes=key.digest()), UUID(bytes=fingerprint.digest()))


def in_apples_words(refusal: RequestRefused) -> PushRefused:
    """What accept refused, as a provider of pushes understands it."""
    if refusal.reason == "idempotency_key_reused":
        return PushRefused(ApnsReason.BAD_MESSAGE_ID)
    if refusal.status == 429:
        return PushRefused(ApnsReason.TOO_MANY_REQUESTS, retry_after_s=refusal.retry_after_s)
    if refusal.status == 409:
        return PushRefused(ApnsReason.SERVICE_UNAVAILABLE, retry_after_s=refusal.retry_after_s)
    if refusal.reason == "unknown_recipient":
        return PushRefused(ApnsReason.BAD_DEVICE_TOKEN)
    return PushRefused(ApnsReason.PAYLOAD_EMPTY)
