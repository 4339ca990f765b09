"""Devices: read, changed, suspended and restored, erased; and what happened to their tokens."""

from functools import partial
from typing import Annotated
from uuid import UUID

import asyncpg
from fastapi import Query
from starlette.responses import Response

from api import registry
from api.auth import Key
from api.dependencies import House, Reader, TheHouse, UsersKey
from api.errors import not_found
from api.routes.registration import bounded
from api.routing import router
from api.schemas.devices import (
    AuditPage,
    AuditQuery,
    AuditTold,
    DevicePage,
    DevicePatch,
    DeviceQuery,
    DeviceTold,
)
from channels.push import audit, devices, erasure, validity
from channels.push.changes import Changes, change
from channels.push.devices import Device, Touched
from channels.push.validity import Brake, InvalidationReason
from domain.errors import Fault, RequestRefused
from preferences import owners

ROUTER = router("/api/v1/devices", tag="devices")


@ROUTER.get("", summary="The devices of a user")
async def list_devices(house: TheHouse, key: Reader, asked: Annotated[DeviceQuery, Query()]) -> DevicePage:
    """A page, newest first; empty for a user whom nobody knows."""
    found = await devices.list_of_user(
        house.reads(key.tenant_id), key.tenant_id, asked.user, limit=asked.limit + 1, before=asked.cursor
    )
    shown = found[: asked.limit]
    return DevicePage(
        items=[_told(each) for each in shown], next_cursor=str(shown[-1].id) if len(found) > asked.limit else None
    )


@ROUTER.get("/{device_id}", summary="One device")
async def get_device(house: TheHouse, key: Reader, device_id: UUID) -> DeviceTold:
    """404 when this tenant has none of that id."""
    return _told(await _device(house, key, device_id))


@ROUTER.patch("/{device_id}", summary="Change a device, suspend or restore it")
async def patch_device(house: TheHouse, key: UsersKey, device_id: UUID, asked: DevicePatch) -> DeviceTold:
    """What is left out stays; a user that nobody knows yet is made.

    A suspended device gets nothing, is reported as feedback, and is erased after a while unless it is restored.
    409 `app_braked` while too many tokens of its app died at once.
    """
    _refuse_nonsense(asked)
    if asked.is_valid is None:
        await registry.write(house, partial(_change, key=key, device_id=device_id, asked=asked))
    elif asked.is_valid:
        await registry.write(house, partial(_restore, key=key, device_id=device_id))
    elif await registry.write(house, partial(_suspend, house, key=key, device_id=device_id, reason=asked.reason)):
        detail = "too many tokens of this app died at once; POST /api/v1/apps/{bundle_id}/release-brake when it is true"
        raise RequestRefused("app_braked", detail, 409)
    return _told(await _device(house, key, device_id))


@ROUTER.delete("/{device_id}", status_code=204, response_class=Response, summary="Erase a device")
async def erase_device(house: TheHouse, key: UsersKey, device_id: UUID) -> Response:
    """Its subscriptions and what waited for it go too; notifications that were sent stay. 404 when there is none."""
    await registry.write(house, partial(_erase, key=key, device_id=device_id))
    return Response(status_code=204)


@ROUTER.get("/{device_id}/audit", summary="What happened to a device's token")
async def get_audit(house: TheHouse, key: Reader, device_id: UUID, asked: Annotated[AuditQuery, Query()]) -> AuditPage:
    """Newest first, also of a device that is gone. 404 when this tenant never had one of that id."""
    found = await audit.of_device(
        house.reads(key.tenant_id), key.tenant_id, device_id, limit=asked.limit + 1, before=asked.cursor
    )
    if not found and asked.cursor is None:
        raise not_found("device")
    shown = found[: asked.limit]
    return AuditPage(
        items=[AuditTold.model_validate(line) for line in shown],
        next_cursor=str(shown[-1].id) if len(found) > asked.limit else None,
    )


async def _change(conn: asyncpg.Connection, *, key: Key, device_id: UUID, asked: DevicePatch) -> tuple[None, Touched]:
    user_id = await owners.find_or_add(conn, key.tenant_id, asked.user) if asked.user is not None else None
    changes = Changes(
        platform=asked.platform.lower() if asked.platform else None,
        device_info=bounded(asked.device_info),
        region=asked.region,
        is_region_given="region" in asked.model_fields_set,
        user_id=user_id,
        is_user_given="user" in asked.model_fields_set,
    )
    touched = await change(conn, key.tenant_id, device_id, changes, actor=key.prefix)
    if touched is None:
        raise not_found("device")
    return None, touched


async def _restore(conn: asyncpg.Connection, *, key: Key, device_id: UUID) -> tuple[None, Touched]:
    return None, await validity.restore(conn, key.tenant_id, [device_id], actor=key.prefix)


async def _suspend(
    house: House, conn: asyncpg.Connection, *, key: Key, device_id: UUID, reason: str | None
) -> tuple[bool, Touched]:
    """Whether the brake was on: it stays on, so this must be told only after COMMIT."""
    if await devices.get(conn, key.tenant_id, device_id) is None:
        raise not_found("device")
    brake = Brake(house.settings.brake_percent, house.settings.brake_window_s)
    done = await validity.invalidate(
        conn, [device_id], reason=reason or InvalidationReason.REPORTED, actor=key.prefix, brake=brake
    )
    return bool(done.braked), done.touched


async def _erase(conn: asyncpg.Connection, *, key: Key, device_id: UUID) -> tuple[None, Touched]:
    touched = await erasure.erase(conn, [device_id], actor=key.prefix, tenant=key.tenant_id)
    if touched is None:
        raise not_found("device")
    return None, touched


async def _device(house: House, key: Key, device_id: UUID) -> Device:
    found = await devices.get(house.reads(key.tenant_id), key.tenant_id, device_id)
    if found is None:
        raise not_found("device")
    return found


def _refuse_nonsense(asked: DevicePatch) -> None:
    """RequestRefused(422) for null where there is always something, and for what does not go together."""
    given = asked.model_fields_set
    faults = [
        Fault(f"/{name}", "must not be null")
        for name in ("platform", "device_info", "is_valid", "reason")
        if name in given and getattr(asked, name) is None
    ]
    if asked.is_valid is not None and given - {"is_valid", "reason"}:
        faults.append(Fault("/is_valid", "goes alone: change other things before or after"))
    if asked.reason is not None and asked.is_valid is not False:
        faults.append(Fault("/reason", 'goes with "is_valid": false'))
    if faults:
        raise RequestRefused("invalid_request", f"{faults[0].pointer}: {faults[0].detail}", faults=tuple(faults))


def _told(device: Device) -> DeviceTold:
    return DeviceTold(
        device_id=device.id,
        app_bundle_id=device.bundle_id,
        user=device.user,
        provider=device.provider,
        platform=device.platform,
        region=device.region,
        device_info=device.device_info,
        token_hash=device.token_hash.hex(),
        is_valid=device.invalidated_at is None,
        invalidated_at=device.invalidated_at,
        invalidation_reason=device.invalidation_reason,
        created_at=device.created_at,
        updated_at=device.updated_at,
        last_seen_at=device.last_seen_at,
    )
