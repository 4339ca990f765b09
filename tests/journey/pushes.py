"""Devices of a journey, what was sent to them, and whether every push came to a good end and was shown once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import httpx2

from domain.delivery import DeliveryStatus
from ops.device import Device
from ops.stack.seed import BUNDLE

GOOD_ENDS = {
    DeliveryStatus.DELIVERED,
    DeliveryStatus.STORED,
    DeliveryStatus.EXPIRED,
    DeliveryStatus.COLLAPSED,
}
LOOK_S = 0.2
UNLIMITED = {"CARILLON_USER_LIMIT_PER_HOUR": "1000000", "CARILLON_USER_LIMIT_BURST": "1000000"}
"""A device gets more in these tests than people want to have."""


@dataclass
class Crowd:
    """Registered devices; those in `here` connect and come back, the others stay away."""

    run: dict[str, Any]
    devices: list[Device] = field(default_factory=list)
    ids: list[UUID] = field(default_factory=list)

    async def register(self, count: int, *, urls: Sequence[str] = (), region: str | None = None) -> list[Device]:
        """Register `count` more by REST; they know `urls`, or the one gateway of `up`."""
        headers = {"Authorization": f"Bearer {self.run['api_key']}"}
        wish = {"app_bundle_id": BUNDLE, "platform": "journey", **({"region": region} if region else {})}
        made = []
        async with httpx2.AsyncClient(base_url=self.run["api_url"], headers=headers, timeout=10) as client:
            for _ in range(count):
                answer = await client.post("/api/v1/devices/register", json=wish)
                assert answer.status_code == 201, answer.text
                told = answer.json()
                self.ids.append(UUID(told["device_id"]))
                gateways = urls or [self.run["gateway_url"]]
                made.append(Device(gateways, self.run["app_key"], told["token"], region=region))
        self.devices += made
        return made

    @property
    def by_id(self) -> dict[UUID, Device]:
        """Each device under its id."""
        return dict(zip(self.ids, self.devices, strict=True))

    async def stop(self) -> None:
        """Everybody leaves."""
        await asyncio.gather(*(device.stop() for device in self.devices))


async def statuses(database_url: str, ids: Sequence[UUID]) -> dict[str, DeliveryStatus]:
    """Where every delivery to these devices stands."""
    conn = await asyncpg.connect(database_url)
    try:
        rows = await conn.fetch("SELECT id, status FROM deliveries WHERE address_id = ANY ($1)", ids)
    finally:
        await conn.close()
    return {str(row["id"]): DeliveryStatus.of(row["status"]) for row in rows}


async def await_ends(crowd: Crowd, away: Sequence[UUID], *, within_s: float) -> dict[str, DeliveryStatus]:
    """Wait until what was for connected devices has been delivered (or collapsed), and all else has a good end."""
    url = crowd.run["database_url"]
    here = [device for device in crowd.ids if device not in set(away)]

    async def is_over() -> bool:
        connected = set((await statuses(url, here)).values())
        others = set((await statuses(url, away)).values())
        return connected <= GOOD_ENDS - {DeliveryStatus.STORED} and others <= GOOD_ENDS

    await until(is_over, within_s)
    return await statuses(url, crowd.ids)


async def until(condition: Callable[[], Awaitable[bool]], within_s: float) -> bool:
    """Look again and again; whether it came true in time."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not await condition():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(LOOK_S)
    return True
