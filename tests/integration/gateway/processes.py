"""The gateway as a process of its own, told of the servers by its environment."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def gateway(environment: dict[str, str]) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    """The process, and what it said when it was ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ops.cli.main",
        "gateway",
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        said: dict[str, Any] = {}
        async with asyncio.timeout(60):
            while "ready" not in said:
                line = await process.stdout.readline()
                assert line, (await process.stderr.read() if process.stderr else b"").decode()
                said = json.loads(line)
        yield process, said
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
