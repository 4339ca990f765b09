"""What only one scheduler at a time does for devices: suspend the stale, erase the suspended, tell of
braked apps, and forget what is past retention."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog

from campaigns import broadcasts
from channels.push import audit, feedback
from channels.push.devices import Touched
from channels.push.erasure import erase_suspended
from channels.push.staleness import FIRST, suspend_stale
from channels.push.tokens import Tokens
from channels.push.validity import Brake, count_braked
from domain.clock import Clock, utc_now
from domain.ids import first_id_at
from plumbing.cache import Cache
from plumbing.metrics import Duty
from plumbing.push_metrics import BRAKED_APPS
from preferences import owners
from workers.leader import Led, Turn

LOOK_LIMIT = 2000
ERASE_LIMIT = 200
LOOK_EVERY_S = 6 * 3600
FORGET_LIMIT = 2000
FORGET_EVERY_S = 3600

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class DeviceDuties:
    """Where the duties are done, and what they need to know."""

    tokens: Tokens
    cache: Cache
    brake: Brake
    grace: timedelta
    retention_months: int = 13
    clock: Clock = utc_now
    looked_at: UUID = FIRST
    """How far this look over the registry has come; a new leader begins anew."""

    def turns(self) -> list[Turn]:
        """All of them can wait for what is urgent."""
        return [
            Turn(Duty.DEVICES, 30, self.tell_of_brakes),
            Turn(Duty.DEVICES, 60, self.erase_suspended),
            Turn(Duty.DEVICES, LOOK_EVERY_S, self.suspend_stale),
            Turn(Duty.DEVICES, FORGET_EVERY_S, self.forget_old),
        ]

    async def tell_of_brakes(self, led: Led) -> bool:
        """Set the gauge that the alert watches."""
        async with led() as conn:
            BRAKED_APPS.set(await count_braked(conn))
        return False

    async def suspend_stale(self, led: Led) -> bool:
        """Look at a page of the registry; more of it waits until its end is reached."""
        async with led() as conn:
            looked = await suspend_stale(conn, self.clock(), after=self.looked_at, limit=LOOK_LIMIT, brake=self.brake)
            stale_keys = await owners.raise_versions(conn, looked.touched.user_ids)
        await self._forget(looked.touched, stale_keys)
        self.looked_at = looked.last or FIRST
        if looked.suspended:
            log.info("devices.suspended", count=looked.suspended, reason="stale")
        return looked.last is not None

    async def erase_suspended(self, led: Led) -> bool:
        """Erase devices whose time to be restored is over, a batch at a time until none is left."""
        async with led() as conn:
            count, touched = await erase_suspended(conn, self.clock() - self.grace, limit=ERASE_LIMIT)
            stale_keys = await owners.raise_versions(conn, touched.user_ids)
        await self._forget(touched, stale_keys)
        return count >= ERASE_LIMIT

    async def forget_old(self, led: Led) -> bool:
        """Forget feedback, histories of tokens and broadcasts that are past retention, a batch of each at a time."""
        before = first_id_at(self.clock() - timedelta(days=31 * self.retention_months))
        async with led() as conn:
            counts = (
                await feedback.forget(conn, before, FORGET_LIMIT),
                await audit.forget(conn, before, FORGET_LIMIT),
                await broadcasts.forget(conn, before, FORGET_LIMIT),
            )
        if sum(counts):
            log.info("records.forgotten", feedback=counts[0], audit=counts[1], broadcasts=counts[2])
        return max(counts) >= FORGET_LIMIT

    async def _forget(self, touched: Touched, stale_keys: list[str]) -> None:
        await self.tokens.forget(sorted(touched.token_hashes))
        await self.cache.delete(stale_keys)
