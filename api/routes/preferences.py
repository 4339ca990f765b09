"""What a user allows: read, replaced, changed, and how it came to be. The document is read by `preferences`."""

from typing import Annotated, Any

from fastapi import Body, Query
from starlette.responses import Response

from api.auth import Key
from api.dependencies import House, Reader, TheHouse, UsersKey
from api.errors import not_found
from api.routes.users import UserInPath
from api.routing import router
from api.schemas.people import HistoryQuery, PreferenceHistory, PreferencesDocument
from preferences import store
from preferences.cache import user_key
from preferences.model import Preferences
from preferences.store import Author, Stored

ROUTER = router("/api/v1/users/{user}/preferences", tag="users")

Document = Annotated[dict[str, Any], Body()]


@ROUTER.get("", summary="What a user allows", response_model=PreferencesDocument)
async def get_preferences(house: TheHouse, key: Reader, user: UserInPath, response: Response) -> dict[str, Any]:
    """The document as it can be sent back; ETag is the version. 404 when there is no such user."""
    return _told(await store.get(house.reads(key.tenant_id), key.tenant_id, user), response)


@ROUTER.put("", summary="Replace what a user allows", response_model=PreferencesDocument)
async def put_preferences(
    house: TheHouse, key: UsersKey, user: UserInPath, document: Document, response: Response
) -> dict[str, Any]:
    """Honoured by every send accepted after the answer, and within a second by what waits already."""
    chosen = Preferences.parse(document)
    stored = await store.put(house.hot_pool, key.tenant_id, user, chosen, author=_author(key))
    await _forget(house, key, user)
    return _told(stored, response)


@ROUTER.patch("", summary="Change what a user allows", response_model=PreferencesDocument)
async def patch_preferences(
    house: TheHouse, key: UsersKey, user: UserInPath, document: Document, response: Response
) -> dict[str, Any]:
    """A JSON merge patch: what is null is forgotten, what is not named stays."""
    stored = await store.patch(house.hot_pool, key.tenant_id, user, document, author=_author(key))
    await _forget(house, key, user)
    return _told(stored, response)


@ROUTER.get("/history", summary="How it came to be")
async def list_changes(
    house: TheHouse, key: Reader, user: UserInPath, asked: Annotated[HistoryQuery, Query()]
) -> PreferenceHistory:
    """Every write, newest first, with who and by which way. 404 when there is no such user."""
    before = int(asked.cursor) if asked.cursor is not None else None
    if await store.get(house.reads(key.tenant_id), key.tenant_id, user) is None:
        raise not_found("user")
    changes = await store.history(
        house.reads(key.tenant_id), key.tenant_id, user, limit=asked.limit + 1, before_version=before
    )
    more = len(changes) > asked.limit
    shown = changes[: asked.limit]
    return PreferenceHistory.model_validate({"items": shown, "next_cursor": str(shown[-1].version) if more else None})


def _author(key: Key) -> Author:
    return Author(key.prefix, "api")


async def _forget(house: House, key: Key, user: str) -> None:
    await house.cache.delete([user_key(key.tenant_id, user)])


def _told(stored: Stored | None, response: Response) -> dict[str, Any]:
    if stored is None:
        raise not_found("user")
    response.headers["etag"] = f'"{stored.version}"'
    return stored.preferences.document()
