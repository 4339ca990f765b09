"""What only one scheduler at a time does for people who asked to be forgotten: it empties the rest of their past."""

from dataclasses import dataclass

from domain.clock import Clock, utc_now
from plumbing.metrics import Duty
from preferences import erasures
from workers.leader import Led, Turn

BATCH = 200
EVERY_S = 10


@dataclass(slots=True)
class PeopleDuties:
    """Goes on with erasures that are due."""

    clock: Clock = utc_now

    def turns(self) -> list[Turn]:
        """It can wait for what is urgent."""
        return [Turn(Duty.ERASURE, EVERY_S, self.go_on)]

    async def go_on(self, led: Led) -> bool:
        """One batch of the erasure that has waited longest; more of it, or of others, may wait."""
        async with led() as conn:
            return await erasures.go_on(conn, now=self.clock(), limit=BATCH)
