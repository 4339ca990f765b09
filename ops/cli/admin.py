"""The verbs of administration: tenants and their API keys."""

from typing import TYPE_CHECKING, Annotated

import typer

from domain.notification import Mode
from ops.cli.database import with_database

if TYPE_CHECKING:
    import asyncpg

ALL = "read,send,users,campaigns,ops,admin"


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    keys = typer.Typer(help="API keys.", no_args_is_help=True)
    keys.command("create")(create_key)
    keys.command("list")(list_keys)
    keys.command("revoke")(revoke_key)
    app.add_typer(keys, name="keys")
    tenants = typer.Typer(help="Tenants.", no_args_is_help=True)
    tenants.command("create")(create_tenant)
    tenants.callback()(_only_create)
    app.add_typer(tenants, name="tenants")


def create_key(
    name: Annotated[str, typer.Argument(help="For people, to know it by.")],
    tenant: Annotated[str, typer.Option(help="Whose key.")] = "local",
    mode: Annotated[Mode, typer.Option(help="live reaches people, test a sink.")] = Mode.LIVE,
    scopes: Annotated[str, typer.Option(help="With commas.")] = ALL,
) -> None:
    """Make an API key and print it, this once: only its hash is kept."""
    from ops.stack import tenants  # lazy: asyncpg
    from plumbing.secrets import new_api_key

    key = new_api_key(mode)
    wanted = tuple(word.strip() for word in scopes.split(",") if word.strip())

    async def make(conn: "asyncpg.Connection") -> None:
        owner = await tenants.tenant_id(conn, tenant)
        await tenants.store_key(conn, owner, key=key, name=name, mode=mode, scopes=wanted)

    with_database(make)
    typer.echo(key)


def list_keys() -> None:
    """Show all keys by their first characters."""
    from ops.stack import tenants  # lazy: asyncpg

    async def show(conn: "asyncpg.Connection") -> None:
        for key in await tenants.list_keys(conn):
            state = f"revoked {key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else ",".join(key.scopes)
            typer.echo(f"{key.id}  {key.prefix}…  {key.mode:<4}  {key.tenant:<12} {key.name:<16} {state}")

    with_database(show)


def revoke_key(key: Annotated[str, typer.Argument(help="Its id, its first 14 characters, or the key.")]) -> None:
    """End a key; requests with it are refused within seconds."""
    from ops.stack import tenants  # lazy: asyncpg

    async def end(conn: "asyncpg.Connection") -> None:
        count = await tenants.revoke_key(conn, key)
        typer.echo(f"{count} revoked" if count else "was revoked before")

    with_database(end)


def create_tenant(name: Annotated[str, typer.Argument(help="Unique; a short word.")]) -> None:
    """Make a tenant and print its id."""
    from ops.stack import tenants  # lazy: asyncpg

    async def make(conn: "asyncpg.Connection") -> None:
        typer.echo(str(await tenants.create_tenant(conn, name)))

    with_database(make)


def _only_create() -> None:
    """Keeps `create` a sub-verb though it is the only one."""
