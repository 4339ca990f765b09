"""A client as a careful team writes one: an Idempotency-Key on each request, and again after every failure."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx2

AGAIN_S = 0.1


@dataclass
class Sends:
    """Sends many requests at a pace, and keeps what was promised: ids answered with 202."""

    api_url: str
    api_key: str
    accepted: dict[str, UUID] = field(default_factory=dict)
    accepted_at: dict[str, float] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    failures: int = 0

    async def send_all(self, requests: Iterable[dict[str, Any]], *, per_s: float, name: str) -> None:
        """Send each until it is answered with 202 or refused for good."""
        limits = httpx2.Limits(max_connections=64)
        client = httpx2.AsyncClient(base_url=self.api_url, timeout=10, limits=limits)
        async with client, asyncio.TaskGroup() as group:
            for n, request in enumerate(requests):
                group.create_task(self._send_one(client, f"{name}-{n}", request))
                await asyncio.sleep(1 / per_s)

    async def _send_one(self, client: httpx2.AsyncClient, key: str, request: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {self.api_key}", "Idempotency-Key": key}
        while True:
            try:
                answer = await client.post("/api/v1/notifications", json=request, headers=headers)
            except httpx2.HTTPError:
                self.failures += 1
                await asyncio.sleep(AGAIN_S)
                continue
            if answer.status_code == 202:
                self.accepted[key] = UUID(answer.json()["id"])
                self.accepted_at[key] = time.monotonic()
                return
            if answer.status_code in (409, 429, 503):
                self.failures += 1
                await asyncio.sleep(AGAIN_S)
                continue
            self.refused.append(f"{answer.status_code} {answer.text}")
            return
