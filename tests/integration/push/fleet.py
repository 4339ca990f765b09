"""What tests of push share: apps and devices written straight into the tables, and a way to Redis that can be cut."""

import asyncio
import contextlib
from typing import Any
from uuid import UUID

import asyncpg

from domain.ids import uuid7
from plumbing.secrets import Seal, new_app_key, new_device_token
from tests.builders import SECRET_KEY

SEAL = Seal(SECRET_KEY)


async def an_app(pool: asyncpg.Pool, tenant: UUID, bundle_id: str | None = None, **facts: Any) -> UUID:
    """An app of this tenant; a bundle id nobody uses unless one is given."""
    app_id = uuid7()
    bundle_id = bundle_id or f"com.example.a{app_id.hex}"
    await pool.execute(
        "INSERT INTO apps (id, tenant_id, bundle_id, app_key) VALUES ($1, $2, $3, $4)",
        app_id,
        tenant,
        bundle_id,
        facts.pop("app_key", None) or new_app_key(),
    )
    for name, value in facts.items():
        await pool.execute(f"UPDATE apps SET {name} = $2 WHERE id = $1", app_id, value)  # columns of ours
    return app_id


async def a_device(pool: asyncpg.Pool, app_id: UUID, token: str | None = None, **facts: Any) -> UUID:
    """A valid device of this app, without a user unless one is given."""
    device_id = uuid7()
    await pool.execute(
        "INSERT INTO devices (id, tenant_id, app_id, bundle_id, token_hash, platform) "
        "SELECT $1, tenant_id, id, bundle_id, $3, 'ios' FROM apps WHERE id = $2",
        device_id,
        app_id,
        SEAL.token_hash(token or new_device_token()),
    )
    for name, value in facts.items():
        await pool.execute(f"UPDATE devices SET {name} = $2 WHERE id = $1", device_id, value)  # columns of ours
    return device_id


async def a_user(pool: asyncpg.Pool, tenant: UUID, external_id: str) -> UUID:
    """A user without addresses."""
    user_id: UUID = uuid7()
    await pool.execute(
        "INSERT INTO users (id, tenant_id, external_id) VALUES ($1, $2, $3)", user_id, tenant, external_id
    )
    return user_id


class Bridge:
    """A way to a server on loopback that can be cut and mended; as long as it is cut, its port refuses."""

    def __init__(self, port: int) -> None:
        self._there = port
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def mend(self) -> None:
        """Let through, on the same port as before."""
        self._server = await asyncio.start_server(self._join, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Refuse, and end what was open."""
        if self._server is not None:
            self._server.close()
            for end in list(self._ends):
                end.close()
            await self._server.wait_closed()
            self._server = None

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._there)
        self._ends |= {writer, there_writer}
        await asyncio.gather(_pass_on(reader, there_writer), _pass_on(there_reader, writer))
        self._ends -= {writer, there_writer}


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()
