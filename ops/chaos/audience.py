"""Whom a run writes to: people who will opt out, people who are told things twice, devices that come and go."""

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import UUID

from ops.device import Device
from ops.rest import CallFailed, Rest
from ops.stack.home import Run
from ops.stack.seed import BUNDLE

HERE, ROAMING, AWAY = 20, 6, 4
"""Devices: always connected, coming and going as on a train, and gone until the end."""

TURNCOATS, READERS = 12, 8
"""Users who opt out in the middle, and users whose news come with a dedupe key."""

HELD = "receipts"
"""A category that holds what nobody knows."""

TOPIC = "weather"
_COME_WITHIN_S = 60.0
_OPTED_OUT = {"channels": {"email": False, "sms": False}}


@dataclass(slots=True)
class Audience:
    """All of them; `device_ids` beside `devices`."""

    devices: list[Device] = field(default_factory=list)
    device_ids: list[UUID] = field(default_factory=list)

    @property
    def by_id(self) -> Mapping[UUID, Device]:
        """Each device under its id."""
        return dict(zip(self.device_ids, self.devices, strict=True))

    async def come(self) -> None:
        """Those that are always here connect."""
        await asyncio.gather(*(device.come() for device in self.devices[:HERE]))

    async def roam(self, rng: random.Random) -> None:
        """Those on the train come and go, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for device in self.devices[HERE : HERE + ROAMING]:
                group.create_task(_come_and_go(device, random.Random(rng.random())))

    async def come_again(self) -> None:
        """Everybody connects anew, or goes on trying: whatever waits for them is fetched."""
        await self.leave()
        with suppress(TimeoutError):
            await asyncio.gather(*(device.come(_COME_WITHIN_S) for device in self.devices))

    async def leave(self) -> None:
        """Everybody goes."""
        await asyncio.gather(*(device.stop() for device in self.devices))


async def gather_audience(rest: Rest, run: Run) -> Audience:
    """Write users, the category and the topic, and register the devices, by REST. CallFailed."""
    for user in [f"turncoat-{n}" for n in range(TURNCOATS)] + [f"reader-{n}" for n in range(READERS)]:
        place = sum(map(ord, user)) % 100
        await rest.put(f"/api/v1/users/{user}", {"email": f"{user}@example.com", "phone": f"+1415555{3000 + place}"})
    held = {"kind": "transactional", "channels": ["email", "sms"], "ambiguous": "hold"}
    await rest.put(f"/api/v1/categories/{HELD}", held)
    audience = Audience()
    for n in range(HERE + ROAMING + AWAY):
        wish: dict[str, Any] = {"app_bundle_id": BUNDLE, "platform": "chaos", "user": f"owner-{n}"}
        told = await rest.post("/api/v1/devices/register", wish)
        if run.app_key is None or run.gateway_url is None:
            raise CallFailed("what runs here has no gateway")
        audience.device_ids.append(UUID(told["device_id"]))
        audience.devices.append(Device([run.gateway_url], run.app_key, told["token"]))
    ids = [str(one) for one in audience.device_ids]
    await rest.post(f"/api/v1/topics/{TOPIC}/subscriptions", {"subscribe": ids})
    return audience


async def opt_out(rest: Rest, user: str) -> None:
    """The user wants no email and no SMS any more; CallFailed when that was not answered."""
    await rest.put(f"/api/v1/users/{quote(user, safe='')}/preferences", _OPTED_OUT)


async def _come_and_go(device: Device, rng: random.Random) -> None:
    while True:
        device.start()
        await asyncio.sleep(rng.uniform(1, 6))
        await device.stop()
        await asyncio.sleep(rng.uniform(0.2, 3))
