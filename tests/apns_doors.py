"""A provider door as a process of its own, and providers that sign for themselves, for tests that push."""

import asyncio
import json
import os
import ssl
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import jwt

from api.apns.keys import KeyPair, new_pair, store_key
from domain.ids import uuid7
from ops.stack.certificate import development_certificate
from tests.builders import SECRET_KEY
from tests.integration.devices import a_device, an_app

BUNDLE = "com.example.demo"
PAYLOAD = {"aps": {"alert": {"title": "Hello", "body": "It works"}}}


@dataclass(frozen=True)
class Answer:
    """What a door said: the reason is None when it took the push."""

    status: int
    reason: str | None
    apns_id: str
    timestamp: int | None
    http: str
    headers: Mapping[str, str]


@dataclass
class Door:
    """A running door; `said` is everything that it wrote."""

    process: asyncio.subprocess.Process
    url: str
    metrics_url: str
    ca: Path
    said: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return int(self.url.rsplit(":", 1)[1])

    def trust(self) -> ssl.SSLContext:
        """TLS that believes this door and nobody else."""
        return ssl.create_default_context(cafile=str(self.ca))

    def client(self, *, http2: bool = True) -> httpx2.AsyncClient:
        """A client for it, with one connection."""
        limits = httpx2.Limits(max_connections=1)
        return httpx2.AsyncClient(
            http2=http2, http1=not http2, verify=self.trust(), base_url=self.url, timeout=20, limits=limits
        )


@dataclass(frozen=True)
class Provider:
    """Somebody who pushes for an app, and the tenant and app it does so for."""

    tenant: UUID
    app: UUID
    team: str
    key_id: str
    pair: KeyPair
    bundle: str = BUNDLE

    def sign(self, **changes: Any) -> str:
        """A token as it should be, but for `changes`: claims, `header`, `key`, `algorithm`; None leaves one out."""
        header = {"kid": self.key_id, **changes.pop("header", {})}
        key, algorithm = changes.pop("key", self.pair.private_pem), changes.pop("algorithm", "ES256")
        claims = {"iss": self.team, "iat": int(time.time()), **changes}
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(kept, key, algorithm, {name: value for name, value in header.items() if value is not None})

    def headers(self, **changes: str | None) -> dict[str, str]:
        """The headers of a push, but for `changes` (`apns_topic=…`); None leaves one out."""
        wanted = {"authorization": f"bearer {self.sign()}", "apns-topic": self.bundle}
        wanted |= {name.replace("_", "-"): value for name, value in changes.items()}  # type: ignore[misc]  # None goes next
        return {name: value for name, value in wanted.items() if value is not None}


async def a_provider(pool: asyncpg.Pool, tenant: UUID | None = None, bundle: str = BUNDLE, **names: str) -> Provider:
    """A provider with a key and an app of its own; a tenant of its own too, unless one is given."""
    if tenant is None:
        tenant = uuid7()
        await pool.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", tenant, f"test-{tenant}")
    app = await an_app(pool, tenant, bundle)
    tag = uuid7().hex[-10:].upper()
    provider = Provider(tenant, app, names.get("team", f"T{tag}"), names.get("key_id", f"K{tag}"), new_pair(), bundle)
    await store_key(
        pool,
        tenant=f"test-{tenant}",
        bundle_id=bundle,
        team_id=provider.team,
        key_id=provider.key_id,
        public_pem=provider.pair.public_pem,
    )
    return provider


async def a_token(pool: asyncpg.Pool, provider: Provider, /, **facts: Any) -> tuple[str, UUID]:
    """A device of this provider's app: its token and its id."""
    token = os.urandom(32).hex()
    return token, await a_device(pool, provider.tenant, provider.app, token=token, **facts)


def environment(database_url: str, redis_url: str, amqp_url: str, folder: Path) -> dict[str, str]:
    """What a door needs to know, with a certificate made in `folder`."""
    certificate, private_key, _ = development_certificate(folder)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("CARILLON_")},
        "CARILLON_DATABASE_URL": database_url,
        "CARILLON_REDIS_URL": redis_url,
        "CARILLON_AMQP_URL": amqp_url,
        "CARILLON_SECRET_KEY": SECRET_KEY,
        "CARILLON_DOOR_PORT": "0",
        "CARILLON_DOOR_CERTIFICATE": str(certificate),
        "CARILLON_DOOR_PRIVATE_KEY": str(private_key),
    }


@asynccontextmanager
async def running_door(settings: Mapping[str, str]) -> AsyncIterator[Door]:
    """A door as a process, ended whatever happens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ops.cli.main",
        "door",
        env=dict(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said: list[str] = []
    try:
        ready = await _ready(process, said)
        ca = Path(settings["CARILLON_DOOR_CERTIFICATE"]).with_name("door-ca.pem")
        reading = asyncio.create_task(_read(process, said))
        yield Door(process, ready["url"], ready["metrics_url"], ca, said)
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(35):
            await process.wait()
    await reading


async def push(client: httpx2.AsyncClient, token: str, headers: Any, payload: Any = PAYLOAD, **more: Any) -> Answer:
    """Push once; `payload` is bytes as they are, or what becomes JSON."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload, separators=(",", ":")).encode()
    method, path = more.pop("method", "POST"), more.pop("path", f"/3/device/{token}")
    answer = await client.request(method, path, headers=headers, content=body, **more)
    said = answer.json() if answer.content else {}
    return Answer(
        answer.status_code,
        said.get("reason"),
        answer.headers.get("apns-id", ""),
        said.get("timestamp"),
        answer.http_version,
        dict(answer.headers),
    )


async def _ready(process: asyncio.subprocess.Process, said: list[str]) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while line := await process.stdout.readline():
            said.append(line.decode())
            if line.startswith(b'{"ready"'):
                return dict(json.loads(line))
    raise AssertionError(f"the door ended before it was ready: {''.join(said)}")


async def _read(process: asyncio.subprocess.Process, said: list[str]) -> None:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        said.append(line.decode())
