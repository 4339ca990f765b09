"""Sender processes for tests: prepared, let loose together, heard, or killed at a failpoint on the way."""

import asyncio
import json
import os
import sys
from typing import Any
from uuid import UUID

from plumbing.failpoints import VARIABLE, Failpoint


class Sending:
    """One sender process: prepared, then let loose, then heard."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def prepare(
        cls,
        urls: tuple[str, str],
        tenant: UUID,
        requests: list[dict[str, Any]],
        failpoint: Failpoint | None = None,
        *,
        bulk_key: str | None = None,
    ) -> "Sending":
        """Start the process and wait until it could begin."""
        environment = {**os.environ, **({VARIABLE: str(failpoint)} if failpoint else {})}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.integration.fanout.sender_process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            limit=2**24,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        order: dict[str, Any] = {"database_url": urls[0], "redis_url": urls[1], "tenant": str(tenant)}
        order |= {"requests": requests, "bulk_key": bulk_key}
        process.stdin.write(json.dumps(order).encode() + b"\n")
        assert await process.stdout.readline() == b"ready\n"
        return cls(process)

    def go(self) -> None:
        """Let it submit everything at once."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")

    async def answers(self) -> list[dict[str, Any]]:
        """What it was answered; empty when it was killed on the way."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 60)
        await self._process.wait()
        answers: list[dict[str, Any]] = json.loads(line) if line else []
        return answers


async def together(urls: tuple[str, str], tenant: UUID, *orders: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Let several processes loose at the same time; their answers."""
    sendings = await asyncio.gather(*(Sending.prepare(urls, tenant, order) for order in orders))
    for sending in sendings:
        sending.go()
    return list(await asyncio.gather(*(sending.answers() for sending in sendings)))
