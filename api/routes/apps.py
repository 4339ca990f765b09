"""Apps: created, changed, listed; and the brake that keeps their tokens from dying all at once."""

from functools import partial
from typing import Annotated
from uuid import UUID

import asyncpg
from fastapi import Header, Path, Query
from starlette.responses import Response

from api import registry
from api.dependencies import AdminKey, House, OpsKey, Reader, TheHouse
from api.errors import not_found
from api.idempotency import refuse_key
from api.routing import router
from api.schemas.apps import BUNDLE_ID, AppAsked, AppPage, AppQuery, AppTold
from channels.push import validity
from channels.push.apps import App, AppFacts, find_app, list_apps, put_app
from channels.push.devices import Touched
from channels.push.room import Overflow

ROUTER = router("/api/v1/apps", tag="apps")

BundleInPath = Annotated[str, Path(pattern=BUNDLE_ID)]
NoKey = Annotated[str | None, Header(alias="Idempotency-Key", include_in_schema=False)]


@ROUTER.put("/{bundle_id}", summary="Create an app, or change it", responses={201: {"model": AppTold}})
async def put(house: TheHouse, key: AdminKey, bundle_id: BundleInPath, asked: AppAsked, response: Response) -> AppTold:
    """201 for a new app, with a publishable key that stays; else 200. What is left out gets its default."""
    facts = AppFacts(
        tuple(asked.web_origins), asked.expires_in_s, Overflow(asked.overflow), asked.silent_per_hour, asked.names_users
    )
    app, is_new = await put_app(house.hot_pool, key.tenant_id, bundle_id, facts)
    house.apps.forget(app)
    response.status_code = 201 if is_new else 200
    return _told(app)


@ROUTER.get("", summary="Apps by bundle id")
async def list_all(house: TheHouse, key: Reader, asked: Annotated[AppQuery, Query()]) -> AppPage:
    """A page of this tenant's."""
    found = await list_apps(house.reads(key.tenant_id), key.tenant_id, limit=asked.limit + 1, after=asked.cursor or "")
    shown = found[: asked.limit]
    return AppPage(
        items=[_told(app) for app in shown], next_cursor=shown[-1].bundle_id if len(found) > asked.limit else None
    )


@ROUTER.get("/{bundle_id}", summary="One app")
async def get(house: TheHouse, key: Reader, bundle_id: BundleInPath) -> AppTold:
    """404 when this tenant has none of that bundle id."""
    return _told(await _now(house, key.tenant_id, bundle_id))


@ROUTER.post("/{bundle_id}/release-brake", summary="Let tokens be invalidated again")
async def release_brake(
    house: TheHouse, key: OpsKey, bundle_id: BundleInPath, idempotency_key: NoKey = None
) -> AppTold:
    """To be called by somebody who has looked why so many died. The brake counts anew from now; twice is once."""
    refuse_key(idempotency_key)
    app = await _now(house, key.tenant_id, bundle_id)
    await registry.write(house, partial(_release, app=app, actor=key.prefix))
    house.apps.forget(app)
    return _told(await _now(house, key.tenant_id, bundle_id))


async def app_of(house: House, tenant: UUID, bundle_id: str) -> App:
    """The tenant's app, as it was at most three seconds ago. RequestRefused(404) when there is none."""
    app = await house.apps.by_bundle(tenant, bundle_id)
    if app is None:
        raise not_found("app")
    return app


async def _now(house: House, tenant: UUID, bundle_id: str) -> App:
    """The tenant's app as it stands: another process may have written it just now."""
    app = await find_app(house.reads(tenant), tenant, bundle_id)
    if app is None:
        raise not_found("app")
    return app


async def _release(conn: asyncpg.Connection, *, app: App, actor: str) -> tuple[bool, Touched]:
    return await validity.release(conn, app.tenant_id, app.bundle_id, actor=actor), Touched()


def _told(app: App) -> AppTold:
    return AppTold(
        bundle_id=app.bundle_id,
        app_key=app.app_key,
        web_origins=list(app.web_origins),
        expires_in_s=app.expires_in_s,
        overflow=Overflow(app.overflow),
        silent_per_hour=app.silent_per_hour,
        names_users=app.names_users,
        braked_at=app.braked_at,
    )
