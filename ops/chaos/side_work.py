"""What goes on beside the load, so that every place is reached: a topic, a webhook, letters that died."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx2

from domain.clock import utc_now
from domain.lanes import Channel
from ops.chaos.audience import TOPIC, Audience
from ops.chaos.history import Promise
from ops.chaos.load import AGAIN_S, Wish
from ops.rest import CallFailed, Rest
from ops.stack.ports import HOST

_EVERY_S = 6.0
_TEMPLATE = "late_parcel"
MESSAGES = {
    _TEMPLATE: {
        "message.json": '{"category": "orders", "description": "Without a carrier it passes accept, and dies."}',
        "sms.txt": "{{ mark }} comes with {{ order.carrier }}.\n",
        "sample.json": '{"mark": "A-1", "order": {"carrier": "Northway"}}',
    }
}
"""A message whose data only rendering can find wanting."""


@dataclass(slots=True)
class SideWork:
    """Publications, and letters that are repaired and sent again; until cancelled."""

    rest: Rest
    audience: Audience
    run: str
    broadcasts: dict[UUID, int] = field(default_factory=dict)

    def dying(self, n: int) -> Wish:
        """A request whose delivery becomes a dead letter."""
        mark = f"{self.run}-late-{n}"
        promise = Promise(mark, Channel.SMS, utc_now())
        to = {"phone": f"+1415555{8000 + n % 1000}"}
        return Wish(
            promise, {"to": to, "template": _TEMPLATE, "data": {"mark": mark, "order": {}}, "channels": ["sms"]}
        )

    async def publish(self) -> None:
        """To the topic, again and again; a publication is promised when it was answered."""
        n = 0
        while True:
            await asyncio.sleep(_EVERY_S)
            document = {"content": {"title": f"{self.run}-topic-{n}", "body": "Rain."}}
            told = await self._insist(f"/api/v1/topics/{TOPIC}/notifications", document, f"{self.run}-topic-{n}")
            self.broadcasts[UUID(told["id"])] = len(self.audience.devices)
            n += 1

    async def repair(self) -> None:
        """Give what died the carrier that it lacks, and send it again."""
        while True:
            await asyncio.sleep(_EVERY_S)
            with suppress(CallFailed, httpx2.HTTPError):  # there is nothing dead yet, or a replay runs: later, then
                found = await self.rest.get("/api/v1/dead-letters", reason="template_missing_variable", limit="50")
                ids = [one["id"] for one in found["items"]]
                if ids:
                    edit = {"ids": ids, "set": {"data": {"order": {"carrier": "Northway"}}, "why": "it had none"}}
                    await self.rest.patch("/api/v1/dead-letters", edit)
                    await self.rest.post("/api/v1/dead-letters/replay", {"ids": ids})

    async def _insist(self, path: str, document: dict[str, Any], key: str) -> dict[str, Any]:
        while True:
            try:
                answer = await self.rest.client.post(path, json=document, headers={"Idempotency-Key": key})
                if answer.is_success:
                    told: dict[str, Any] = answer.json()
                    return told
            except httpx2.HTTPError:
                pass
            await asyncio.sleep(AGAIN_S)


@dataclass(slots=True)
class Endpoint:
    """Somebody's webhook: it takes everything."""

    port: int = 0
    told: list[tuple[str, str]] = field(default_factory=list)
    """Delivery and status, as they came."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one call."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            size = int(head.partition("content-length:")[2].split("\r\n", 1)[0] or 0)
            data = json.loads(await reader.readexactly(size)).get("data", {})
            self.told.append((data.get("delivery_id", ""), data.get("status", "")))
            writer.write(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        except (OSError, ValueError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def an_endpoint(rest: Rest) -> AsyncIterator[Endpoint]:
    """An endpoint on loopback that is told of some ends; CallFailed when it cannot be registered."""
    endpoint = Endpoint()
    server = await asyncio.start_server(endpoint.serve, HOST, 0)
    endpoint.port = server.sockets[0].getsockname()[1]
    events = ["notification.delivery.failed", "notification.delivery.ambiguous", "notification.delivery.expired"]
    await rest.post("/api/v1/webhooks", {"url": f"http://localhost:{endpoint.port}/hook", "events": events})
    try:
        yield endpoint
    finally:
        server.close()
