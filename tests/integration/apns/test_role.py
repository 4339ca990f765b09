"""The door as a role: ready with its URL and metrics until it is told to stop, or one line that says why not."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import asyncpg
import httpx2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from api.apns.keys import KeyPair
from tests.apns_doors import BUNDLE, Door, Provider, a_token, push, running_door


async def test_it_gets_ready_serves_its_metrics_and_stops_when_told(door_settings: dict[str, str]) -> None:
    async with running_door(door_settings) as door:
        async with httpx2.AsyncClient() as client:
            metrics = await client.get(door.metrics_url)
            health = await client.get(door.metrics_url.replace("/metrics", "/health/ready"))
        began = time.monotonic()
        door.process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(door.process.wait(), 30)

    assert door.url.startswith("https://127.0.0.1:")
    assert (metrics.status_code, health.status_code, code) == (200, 200, 0)
    assert "apns_door_answers_total" in metrics.text
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("CARILLON_DOOR_CERTIFICATE", "", "CARILLON_DOOR_CERTIFICATE"),
        ("CARILLON_DOOR_CERTIFICATE", "/nowhere/door.pem", "/nowhere/door.pem"),
        ("CARILLON_DOOR_PORT", "taken", "CARILLON_DOOR_PORT"),
        ("CARILLON_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none", "PostgreSQL"),
        ("CARILLON_AMQP_URL", "amqp://nobody:x@127.0.0.1:1/none", "RabbitMQ"),
    ],
)
async def test_a_door_that_cannot_work_says_why_in_one_line(
    name: str, value: str, words: str, door_settings: dict[str, str]
) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    wrong = str(server.sockets[0].getsockname()[1]) if value == "taken" else value
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ops.cli.main", "door"),
        env={**door_settings, name: wrong},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    server.close()

    assert process.returncode == 2, said.decode()
    [line] = said.decode().strip().splitlines()
    assert words in line


async def test_keys_are_made_listed_imported_and_revoked_by_the_command_line(
    door_settings: dict[str, str], hot_pool: asyncpg.Pool, provider: Provider, tmp_path: Path
) -> None:
    file = tmp_path / "key.p8"
    names = ("--app", BUNDLE, "--tenant", f"test-{provider.tenant}", "--team", "TEAM123456")
    old = os.umask(0)
    try:
        made = await run(door_settings, "create", *names, "--key-id", "KEY1234567", "--out", str(file))
    finally:
        os.umask(old)
    again = await run(door_settings, "create", *names, "--key-id", "KEY1234567", "--out", str(tmp_path / "two.p8"))
    over = await run(door_settings, "create", *names, "--key-id", "KEY7654321", "--out", str(file))
    imported = await run(door_settings, "import", *names, "--key-id", "KEY0000002", "--file", str(file))
    listed = await run(door_settings, "list")
    revoked = await run(door_settings, "revoke", "KEY1234567", "--tenant", f"test-{provider.tenant}")

    assert [done.returncode for done in (made, again, over, imported, listed, revoked)] == [0, 2, 2, 0, 0, 0]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert not (tmp_path / "two.p8").exists()
    assert "KEY1234567" in listed.stdout
    assert revoked.stdout == "1 revoked\n"
    stored = await hot_pool.fetch("SELECT public_key FROM apns_keys WHERE tenant_id = $1", provider.tenant)
    assert len(stored) == 3
    assert all(row["public_key"].startswith("-----BEGIN PUBLIC KEY-----") for row in stored)


@pytest.mark.parametrize("kind", ["P-384", "RSA", "not PEM"])
async def test_only_keys_on_p256_are_imported(
    kind: str, door_settings: dict[str, str], provider: Provider, tmp_path: Path
) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(_pem(kind))
    names = ("--app", BUNDLE, "--tenant", f"test-{provider.tenant}", "--team", "TEAM123456", "--key-id", "KEY1")

    done = await run(door_settings, "import", *names, "--file", str(file))

    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


async def test_a_key_of_the_command_line_opens_the_door(
    door_settings: dict[str, str], door: Door, hot_pool: asyncpg.Pool, provider: Provider, tmp_path: Path
) -> None:
    file = tmp_path / "key.p8"
    names = ("--app", BUNDLE, "--tenant", f"test-{provider.tenant}", "--team", provider.team, "--key-id", "NEWKEY0001")
    await run(door_settings, "create", *names, "--out", str(file))
    newcomer = replace(provider, key_id="NEWKEY0001", pair=KeyPair(file.read_bytes(), ""))
    token, _ = await a_token(hot_pool, provider)

    async with door.client() as client:
        answer = await push(client, token, newcomer.headers())

    assert answer.status == 200


async def run(settings: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    """`carillon apns-keys …` to its end."""
    command = [sys.executable, "-m", "ops.cli.main", "apns-keys", *words]
    return await asyncio.to_thread(
        subprocess.run, command, env=settings, capture_output=True, text=True, timeout=60, check=False
    )


def _pem(kind: str) -> bytes:
    if kind == "not PEM":
        return b"hello"
    key = ec.generate_private_key(ec.SECP384R1()) if kind == "P-384" else rsa.generate_private_key(65537, 2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
