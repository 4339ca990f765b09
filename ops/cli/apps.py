"""The verbs of apps: made and listed, with their publishable keys."""

import re
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.database import with_database
from ops.cli.door import fail

if TYPE_CHECKING:
    import asyncpg

Tenant = Annotated[str, typer.Option(help="Whose app.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    apps = typer.Typer(help="Apps whose devices get pushes.", no_args_is_help=True)
    apps.command("create")(create_app)
    apps.command("list")(list_apps)
    app.add_typer(apps, name="apps")


def create_app(
    bundle_id: Annotated[str, typer.Argument(help="Such as com.example.shop.")],
    origin: Annotated[
        list[str] | None, typer.Option(help="A web page's origin that may connect; once for each.")
    ] = None,
    tenant: Tenant = "local",
) -> None:
    """Make an app and print its publishable key; of one that is there already only the key is printed."""
    from api.schemas.apps import BUNDLE_ID, canonical_origin  # lazy, with what follows: pydantic, asyncpg
    from channels.push.apps import AppFacts, find_app, put_app
    from ops.stack import tenants

    if not re.fullmatch(BUNDLE_ID, bundle_id):
        fail(f"{bundle_id!r} is no bundle id: letters, digits, dots, dashes, at most 155")
    try:
        origins = tuple(canonical_origin(each) for each in origin or ())
    except ValueError as error:
        fail(f"--origin {error}")

    async def make(conn: "asyncpg.Connection") -> None:
        owner = await tenants.tenant_id(conn, tenant)
        app = await find_app(conn, owner, bundle_id)
        if app is not None and origins and origins != app.web_origins:
            fail(f"{bundle_id} is there already: change it by PUT /api/v1/apps/{bundle_id}")
        if app is None:
            app, _ = await put_app(conn, owner, bundle_id, AppFacts(web_origins=origins))
        typer.echo(app.app_key)

    with_database(make)


def list_apps(tenant: Tenant = "local") -> None:
    """Show a tenant's apps with their publishable keys."""
    from channels.push import apps  # lazy: asyncpg
    from ops.stack import tenants

    async def show(conn: "asyncpg.Connection") -> None:
        owner = await tenants.tenant_id(conn, tenant)
        after = ""
        while page := await apps.list_apps(conn, owner, limit=100, after=after):
            for app in page:
                state = f"braked {app.braked_at:%Y-%m-%d %H:%M}" if app.braked_at else ",".join(app.web_origins)
                typer.echo(f"{app.bundle_id:<32} {app.app_key}  {state}".rstrip())
            after = page[-1].bundle_id

    with_database(show)
