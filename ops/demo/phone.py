"""The demo's device, as its app makes it: registered by REST with the app's key, connected to the gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ops.demo.provider import Provider, a_provider
from ops.device import Device
from ops.rest import CallFailed, Rest, open_rest
from ops.stack.home import Run
from ops.stack.seed import BUNDLE

MARK = "demo"
"""The payload's own field by which the device finds what came through the door."""


@dataclass(slots=True)
class Phone:
    """The device, and a sender of its app that uses an APNs client."""

    device: Device
    provider: Provider

    async def push_by_door(self, payload: dict[str, Any], mark: str) -> None:
        """Send `payload` as an APNs client does. CallFailed unless the door answers 200."""
        answer = await self.provider.push(self.device.token, {**payload, MARK: mark})
        if answer.status_code != 200:
            raise CallFailed(f"POST {self.provider.url}/3/device/…: {answer.status_code} {answer.text}")

    def notification_of(self, mark: str) -> str | None:
        """The notification that brought the payload with this mark, once it was shown."""
        found = (shown.notification_id for shown in self.device.shown if shown.payload.get(MARK) == mark)
        return next(found, None)


@asynccontextmanager
async def a_phone(rest: Rest, run: Run, owner: str, *, authority: Path | None) -> AsyncIterator[Phone]:
    """Register a device with the app's key, say whose it is with the server's, connect it; gone at the end.

    `authority` signed the door's certificate; None: one that everybody knows. CallFailed, or TimeoutError when the
    gateway does not greet.
    """
    if run.app_key is None or run.gateway_url is None:
        raise CallFailed("what runs here has no gateway: `carillon ps` shows what runs")
    async with open_rest(run.api_url, run.app_key) as app:
        registered = await app.post("/api/v1/devices/register", {"app_bundle_id": BUNDLE, "platform": "demo"})
    await rest.patch(f"/api/v1/devices/{quote(registered['device_id'], safe='')}", {"user": owner})
    device = Device([run.gateway_url], run.app_key, registered["token"])
    async with a_provider(run, authority) as provider:
        await device.come()
        try:
            yield Phone(device, provider)
        finally:
            await device.stop()
