"""Users: written whole, read, erased."""

from functools import partial
from typing import Annotated
from uuid import UUID

import asyncpg
import msgspec
from fastapi import Path
from pydantic import AfterValidator
from starlette.responses import Response

from api import registry
from api.dependencies import Reader, TheHouse, UsersKey
from api.errors import not_found
from api.routing import router
from api.schemas.people import MAX_ATTRIBUTES_BYTES, UserAsked, UserTold
from api.shape import fault_of_user
from channels.push.changes import leave_user
from channels.push.devices import Touched
from domain.errors import Fault, RequestRefused
from preferences import owners, users
from preferences.cache import user_key
from preferences.users import Facts, User

ROUTER = router("/api/v1/users", tag="users")


def _checked(text: str) -> str:
    if (fault := fault_of_user(text)) is not None:
        raise ValueError(fault)
    return text


UserInPath = Annotated[str, Path(max_length=255), AfterValidator(_checked)]


@ROUTER.put("/{user}", summary="Create a user, or replace what is known of it", responses={201: {"model": UserTold}})
async def put_user(house: TheHouse, key: UsersKey, user: UserInPath, asked: UserAsked, response: Response) -> UserTold:
    """201 for a new user, else 200. What is left out is forgotten, also for what waits to be sent."""
    size = len(msgspec.json.encode(asked.attributes))
    if size > MAX_ATTRIBUTES_BYTES:
        detail = f"has {size} bytes as JSON, at most {MAX_ATTRIBUTES_BYTES} are allowed"
        raise RequestRefused("invalid_request", f"/attributes: {detail}", faults=(Fault("/attributes", detail),))
    facts = Facts(asked.email, asked.phone, asked.name, asked.locale, asked.timezone, asked.attributes)
    written, is_new = await users.put_user(house.hot_pool, house.seal, key.tenant_id, user, facts)
    await house.cache.delete([user_key(key.tenant_id, user)])
    response.status_code = 201 if is_new else 200
    return _told(written)


@ROUTER.get("/{user}", summary="One user")
async def get_user(house: TheHouse, key: Reader, user: UserInPath) -> UserTold:
    """404 when there is none of that id."""
    found = await users.get_user(house.hot_pool, key.tenant_id, user)
    if found is None:
        raise not_found("user")
    return _told(found)


@ROUTER.delete("/{user}", status_code=204, response_class=Response, summary="Erase a user")
async def erase_user(house: TheHouse, key: UsersKey, user: UserInPath) -> Response:
    """Addresses, preferences and their history are gone; suppressions stay, as hashes. 404 when there was none.

    Its devices stay without a user, and what waited for them on its behalf is cancelled.
    """
    await registry.write(house, partial(_leave_devices, tenant=key.tenant_id, user=user, actor=key.prefix))
    was_there = await users.erase_user(house.hot_pool, key.tenant_id, user)
    await house.cache.delete([user_key(key.tenant_id, user)])
    if not was_there:
        raise not_found("user")
    return Response(status_code=204)


async def _leave_devices(conn: asyncpg.Connection, *, tenant: UUID, user: str, actor: str) -> tuple[None, Touched]:
    found = await owners.find(conn, tenant, user)
    return None, await leave_user(conn, tenant, found, actor=actor) if found is not None else Touched()


def _told(user: User) -> UserTold:
    facts = user.facts
    return UserTold(
        id=user.external_id,
        email=facts.email,
        phone=facts.phone,
        locale=facts.locale,
        timezone=facts.timezone,
        name=facts.name,
        attributes=dict(facts.attributes),
        version=user.version,
        created_at=user.created_at,
        updated_at=user.updated_at,
    )
