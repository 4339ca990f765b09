"""Users: written whole, read, exported, erased."""

from typing import Annotated

import msgspec
from fastapi import Path
from pydantic import AfterValidator
from starlette.responses import Response, StreamingResponse

from api import erasing, exporting
from api.dependencies import Reader, TheHouse, UsersKey
from api.errors import not_found
from api.routing import router
from api.schemas.exports import UserExport
from api.schemas.people import MAX_ATTRIBUTES_BYTES, UserAsked, UserTold
from api.shape import fault_of_user
from domain.errors import Fault, RequestRefused
from preferences import users
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
    found = await users.get_user(house.reads(key.tenant_id), key.tenant_id, user)
    if found is None:
        raise not_found("user")
    return _told(found)


@ROUTER.get("/{user}/export", summary="All that is known of a user", response_model=UserExport)
async def export_user(house: TheHouse, key: UsersKey, user: UserInPath) -> Response:
    """One document, streamed: addresses, choices and their history, devices, and everything that was ever sent, with
    its words and what became of it. It is read while it is sent: what changes meanwhile may be in it or not."""
    subject = await exporting.find(house, key.tenant_id, user)
    if subject is None:
        raise not_found("user")
    name = {"content-disposition": 'attachment; filename="export.json"'}
    return StreamingResponse(exporting.stream(house, subject), media_type="application/json", headers=name)


@ROUTER.delete("/{user}", status_code=204, response_class=Response, summary="Erase a user")
async def erase_user(house: TheHouse, key: UsersKey, user: UserInPath) -> Response:
    """Addresses, choices and their history are gone with the answer, and so are words, answers and evidence of what was
    sent, where that is little; else the rest follows within minutes. Ids, statuses and counts stay, and suppressions as
    hashes. Its devices stay without a user, and what waited for it is not sent. `GET /api/v1/erasures` has the proof.
    404 when there was none."""
    if not await erasing.erase(house, key, user):
        raise not_found("user")
    return Response(status_code=204)


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
