"""What does not move, as told."""

from typing import Literal
from uuid import UUID

from api.schemas.base import Moment, Told
from domain.delivery import DeliveryStatus


class StuckTold(Told):
    """One thing that is late: since when, and what the platform does about it by itself, and when.

    `sending`: past its lease. `resting`: past due. `unpublished`: should be in the broker. `unmoved`: a lane of the
    broker holds messages and nothing of it was begun within a minute.
    """

    kind: Literal["sending", "resting", "unpublished", "unmoved"]
    lane: str
    delivery_id: UUID | None
    status: DeliveryStatus | None
    since: Moment | None
    count: int
    will: str
    will_at: Moment | None


class StuckPage(Told):
    """Everything that is late; `unknown` names what could not be asked. Empty: everything moves."""

    items: list[StuckTold]
    unknown: list[str]
