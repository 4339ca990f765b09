"""A device makes itself known: by the tenant's server, or by the app itself with its publishable key."""

from dataclasses import replace
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import msgspec
from fastapi import Depends, Header
from starlette.responses import Response

from api import registry
from api.auth import Key
from api.dependencies import House, RegistrarKey, TheHouse
from api.idempotency import refuse_key
from api.origins import judge_origin
from api.routes.apps import app_of
from api.routing import router
from api.schemas.devices import MAX_INFO_BYTES, RegisteredTold, RegistrationAsked
from channels.push.apps import App
from channels.push.devices import Touched
from channels.push.registration import Authority, Registered, Wish, refuse_claims, register
from domain.errors import Fault, RequestRefused
from domain.push import PushProvider, canonical_token
from plumbing.secrets import new_device_token
from preferences import owners

ROUTER = router("/api/v1/devices", tag="devices")

NoKey = Annotated[str | None, Header(alias="Idempotency-Key", include_in_schema=False)]


@ROUTER.post(
    "/register",
    status_code=201,
    summary="Register a device, or refresh its token",
    responses={200: {"model": RegisteredTold}},
    dependencies=[Depends(judge_origin)],
)
async def register_device(
    house: TheHouse, key: RegistrarKey, asked: RegistrationAsked, response: Response, idempotency_key: NoKey = None
) -> RegisteredTold:
    """201 for a new device, 200 for one that is known: the same token keeps its device. No token: one is made.

    A server may name a user that nobody knows yet. With an app key only devices of that app are registered, and with
    `user` only where the app allows it. A token that another device of this app has: 409.
    """
    refuse_key(idempotency_key)
    app = await _app(house, key, asked.app_bundle_id)
    token, is_minted = _token(asked)
    wish = _wish(house, app, asked, token)
    work = partial(_register, app=app, wish=wish, key=key, user=asked.user)
    registered = await registry.write(house, work)
    response.status_code = 201 if registered.is_new else 200
    return RegisteredTold(
        device_id=registered.device_id,
        token=token if is_minted else None,
        token_hash=wish.token_hash.hex(),
        gateways=await _gateways(house, asked.region),
    )


async def _register(
    conn: asyncpg.Connection, *, app: App, wish: Wish, key: Key, user: str | None
) -> tuple[Registered, Touched]:
    authority = Authority.SERVER if key.app_id is None else Authority.APP
    if user is not None:
        wish = replace(wish, user_id=await _user(conn, app, authority, user))
    registered = await register(conn, app, wish, authority=authority, actor=key.prefix)
    return registered, registered.touched


async def _user(conn: asyncpg.Connection, app: App, authority: Authority, user: str) -> UUID:
    """Whose the device shall be: a server may name somebody new, an app only who is known. RequestRefused(403, 422)."""
    if authority is Authority.SERVER:
        return await owners.find_or_add(conn, app.tenant_id, user)
    refuse_claims(app)
    found = await owners.find(conn, app.tenant_id, user)
    if found is None:
        detail = "there is no user of this id"
        raise RequestRefused("unknown_recipient", f"/user: {detail}", faults=(Fault("/user", detail),))
    return found


async def _app(house: House, key: Key, bundle_id: str) -> App:
    """The app that is meant. RequestRefused: 403 for another one than the app key's own, 404."""
    app = await app_of(house, key.tenant_id, bundle_id) if key.app_id is None else await house.apps.by_id(key.app_id)
    if app is None or app.bundle_id != bundle_id:
        detail = "an app key registers devices of its own app only"
        raise RequestRefused("wrong_app", detail, 403, faults=(Fault("/app_bundle_id", detail),))
    return app


def _wish(house: House, app: App, asked: RegistrationAsked, token: str) -> Wish:
    provider = PushProvider(asked.provider)
    previous = _canonical(asked.previous_token, provider, "/previous_token") if asked.previous_token else None
    return Wish(
        token_hash=house.seal.token_hash(token),
        token_sealed=None if provider is PushProvider.CARILLON else house.box.seal(app.tenant_id, token.encode()),
        provider=provider,
        platform=asked.platform.lower() if asked.platform else None,
        region=asked.region,
        device_info=bounded(asked.device_info),
        device_id=asked.device_id,
        previous_hash=house.seal.token_hash(previous) if previous else None,
    )


def _token(asked: RegistrationAsked) -> tuple[str, bool]:
    """The token in canonical form, and whether it was made here. RequestRefused(422)."""
    provider = PushProvider(asked.provider)
    if asked.token is not None:
        return _canonical(asked.token, provider, "/token"), False
    if provider is not PushProvider.CARILLON:
        raise _wrong("/token", "only we make tokens for ourselves; send the one that the provider gave to the device")
    return new_device_token(), True


def _canonical(text: str, provider: PushProvider, pointer: str) -> str:
    try:
        return canonical_token(text, provider)
    except ValueError as error:
        raise _wrong(pointer, str(error)) from None


def bounded(device_info: dict[str, Any] | None) -> dict[str, Any] | None:
    """What a device tells of itself, if it is not too much. RequestRefused(422)."""
    size = len(msgspec.json.encode(device_info))
    if device_info is not None and size > MAX_INFO_BYTES:
        raise _wrong("/device_info", f"has {size} bytes as JSON, at most {MAX_INFO_BYTES} are allowed")
    return device_info


async def _gateways(house: House, region: str | None) -> list[str]:
    """Where the device may connect, nodes of its region first; nothing while Redis does not answer."""
    nodes = await house.presence.nodes() or []
    return list(dict.fromkeys(node.url for node in sorted(nodes, key=lambda node: node.region != region)))


def _wrong(pointer: str, detail: str) -> RequestRefused:
    return RequestRefused("invalid_request", f"{pointer}: {detail}", faults=(Fault(pointer, detail),))
