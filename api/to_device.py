"""One push to one device, by its token, as an APNs provider would say it: a hot route in JSON.

What it takes and answers is described for OpenAPI in `schemas.sending`; a test holds the two together.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.routing import Route

from api.auth import Scope
from api.body import read_document
from api.dependencies import House, identify
from api.errors import not_found
from api.fields import Faults, Fields, kind_of
from api.hot import Told, sender_of, tell
from api.idempotency import HEADER, read_key
from api.push_shape import check_payload, read_collapse_id, read_wake
from api.shape import read_category
from api.strict_json import refuse_faults
from channels.push.tokens import KnownDevice
from domain.errors import RequestRefused
from domain.lanes import Channel
from domain.notification import Content, NotificationRequest, PushParts, Recipient
from domain.push import LIVE_ONLY_S, MAX_LIFE_S, PRIORITY_OF_WAKE, Wake, is_silent
from domain.reasons import Reason
from fanout.cases import Item

PATH = "/api/v1/notifications/device/{token}"
MAX_EXPIRATION_S = 2**40
"""Beyond this (the year 36,812) an epoch second was meant to be something else."""

APPLES_HEADERS = {"priority": "apns-priority", "expiration": "apns-expiration", "collapse_id": "apns-collapse-id"}
"""Apple's headers, which speak where the body is silent."""

_NUMBERS = ("priority", "expiration")


@dataclass(frozen=True, slots=True)
class DevicePush:
    """What was asked for. `expiration` is in epoch seconds: None for the app's own, 0 for now or never."""

    payload: dict[str, Any]
    wake: Wake
    expiration: int | None
    collapse_id: str | None
    category: str | None


def routes() -> list[Route]:
    """The route, to be placed before all others."""
    return [Route(PATH, send_to_device, methods=["POST"], name="send_to_device")]


async def send_to_device(request: Request) -> Told:
    """Take one push: 202 once it is in PostgreSQL. RequestRefused (404 unknown, 410 gone), Unavailable."""
    house: House = request.app.state.house
    request.scope["route_path"] = PATH
    sender = sender_of(await identify(request, house.keys, Scope.SEND))
    limits = house.body_limits
    document = await read_document(request, limits.size_bytes, timeout_s=limits.timeout_s)
    refuse_faults(document.faults)
    header = request.headers.get(HEADER)
    key = read_key(header, sender.tenant_id, sender.mode, method="POST", path=request.url.path, body=document.value)
    wanted = read_device_push(document.value, request.headers)
    device = await find_device(house, sender.tenant_id, request.path_params["token"])
    app = await house.apps.by_id(device.app_id)
    if app is None:
        raise not_found("device")
    asked = compose(device, wanted, life_s=app.expires_in_s, now=house.clock())
    accepted = await house.batcher.submit(Item(sender, asked, key))
    return tell(accepted, {"expired": True} if accepted.reason is Reason.EXPIRED else {})


async def find_device(house: House, tenant_id: UUID, token: str) -> KnownDevice:
    """The tenant's device with this token, the newest valid one where several apps know it.

    RequestRefused: 404 where there is none, 410 where it is gone. Unavailable.
    """
    token_hash = house.seal.token_hash(token)
    found = await house.tokens.find([token_hash])
    ours = [device for device in found[token_hash] if device.tenant_id == tenant_id]
    if not ours:
        raise not_found("device")
    device = max(ours, key=lambda one: (one.is_valid, one.id))
    if device.invalidated_at is not None:
        raise RequestRefused(
            "device_gone", f"this device is gone since {device.invalidated_at:%Y-%m-%dT%H:%M:%SZ}", 410
        )
    return device


def read_device_push(document: Any, headers: Mapping[str, str]) -> DevicePush:
    """The body, and Apple's headers where it is silent. RequestRefused(422) with a pointer for each fault."""
    faults = Faults()
    if not isinstance(document, dict):
        faults.add("", f"must be an object, not {kind_of(document)}")
    faults.raise_if_any()
    spoken: dict[str, Any] = {name: headers[header] for name, header in APPLES_HEADERS.items() if header in headers}
    spoken |= {name: int(text) for name in _NUMBERS if (text := spoken.get(name, "")).isdecimal() and len(text) < 15}
    silent = [name for name in spoken if document.get(name) is None]
    fields = Fields(document | {name: spoken[name] for name in silent}, "", faults)
    payload = fields.take("payload")
    if not isinstance(payload, dict) or payload.get("aps") is None:
        fields.fault("payload", "must be an object that holds aps")
        payload = {}
    else:
        check_payload(fields, "payload", payload)
    wake = read_wake(fields, "priority")
    asked = DevicePush(
        payload,
        Wake(wake) if wake is not None else Wake.NAP if is_silent(payload) else Wake.NOW,
        fields.whole("expiration", 0, MAX_EXPIRATION_S),
        read_collapse_id(fields),
        read_category(fields),
    )
    fields.end()
    faults.raise_if_any()
    return asked


def compose(device: KnownDevice, asked: DevicePush, *, life_s: int, now: datetime) -> NotificationRequest:
    """The push as a notification request; `life_s` is how long its app keeps what does not say. What was too late
    when it came gets no time at all, and is suppressed for that."""
    if asked.expiration is None:
        expires_in_s = life_s
    elif asked.expiration == 0:
        expires_in_s = LIVE_ONLY_S
    else:
        expires_in_s = max(0, min(math.ceil(asked.expiration - now.timestamp()), MAX_LIFE_S))
    return NotificationRequest(
        to=Recipient(device_id=device.id),
        content=Content(push=PushParts(asked.payload, int(asked.wake), is_live_only=asked.expiration == 0)),
        channels=(Channel.PUSH,),
        priority=PRIORITY_OF_WAKE[asked.wake],
        category=asked.category or "general",
        collapse_id=asked.collapse_id,
        expires_in_s=expires_in_s,
    )
