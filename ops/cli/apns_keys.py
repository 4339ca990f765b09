"""The verbs of provider signing keys: made or imported, listed, revoked."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.database import with_database
from ops.cli.door import fail

if TYPE_CHECKING:
    import asyncpg

App = Annotated[str, typer.Option(help="Bundle id of the app that may be pushed to with it.")]
Team = Annotated[str, typer.Option(help="Team id: what provider tokens say as `iss`.")]
KeyId = Annotated[str, typer.Option(help="Key id: what provider tokens say as `kid`.")]
Tenant = Annotated[str, typer.Option(help="Whose app.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    keys = typer.Typer(help="Keys with which providers sign their tokens for the provider door.", no_args_is_help=True)
    keys.command("create")(create_key)
    keys.command("import")(import_key)
    keys.command("list")(list_keys)
    keys.command("revoke")(revoke_key)
    app.add_typer(keys, name="apns-keys")


def create_key(
    app: App,
    team: Team,
    key_id: KeyId,
    out: Annotated[Path, typer.Option(help="Where the private half is written (.p8); it is kept nowhere else.")],
    tenant: Tenant = "local",
) -> None:
    """Make a signing key: the private half goes to a new file for you alone, the public half is kept."""
    from api.apns.keys import new_pair  # lazy: cryptography

    try:
        file = os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except OSError as error:
        fail(f"{out} cannot be made: {error.strerror}")
    pair = new_pair()
    try:
        with file:
            file.write(pair.private_pem)
        _store(tenant, app, team, key_id, pair.public_pem)
    except BaseException:
        out.unlink(missing_ok=True)  # a private key whose public half is not known opens nothing
        raise
    typer.echo(f"{out}  key id {key_id}, team {team}, for {app}")


def import_key(
    app: App,
    team: Team,
    key_id: KeyId,
    file: Annotated[Path, typer.Option(help="PEM: a public key, or an Apple .p8 of which only that half is kept.")],
    tenant: Tenant = "local",
) -> None:
    """Take a key that exists already, one that your senders use with Apple for example."""
    from api.apns.keys import public_half  # lazy: cryptography

    try:
        pem = file.read_bytes()
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    _store(tenant, app, team, key_id, public_half(pem))
    typer.echo(f"key id {key_id}, team {team}, for {app}")


def list_keys() -> None:
    """Show all keys."""
    from api.apns import keys  # lazy: asyncpg

    async def show(conn: "asyncpg.Connection") -> None:
        for key in await keys.list_keys(conn):
            state = f"revoked {key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else "works"
            typer.echo(f"{key.id}  {key.key_id:<12} {key.team_id:<12} {key.tenant:<12} {key.bundle_id:<30} {state}")

    with_database(show)


def revoke_key(
    key: Annotated[str, typer.Argument(help="Its id, or its key id (then for every app that has it).")],
    tenant: Tenant = "local",
) -> None:
    """End a key; tokens that it signed are refused within seconds."""
    from api.apns import keys  # lazy: asyncpg

    async def end(conn: "asyncpg.Connection") -> None:
        count = await keys.revoke_key(conn, tenant=tenant, key=key)
        typer.echo(f"{count} revoked" if count else "was revoked before")

    with_database(end)


def _store(tenant: str, app: str, team: str, key_id: str, public_pem: str) -> None:
    from api.apns import keys  # lazy: asyncpg

    async def store(conn: "asyncpg.Connection") -> None:
        await keys.store_key(conn, tenant=tenant, bundle_id=app, team_id=team, key_id=key_id, public_pem=public_pem)

    with_database(store)
