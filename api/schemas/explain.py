"""What would become of a notification: as asked and as told."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.base import Moment, Told
from api.schemas.notifications import GateTold, QueryMoment
from domain.delivery import DeliveryStatus
from domain.lanes import Channel
from domain.reasons import Reason


class ForecastQuery(BaseModel):
    """Who, what, and when if not now."""

    model_config = ConfigDict(extra="forbid")

    user: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
    template: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]
    at: QueryMoment | None = None


class ForecastDelivery(Told):
    """One delivery as it would be planned."""

    channel: Channel
    device_id: UUID | None
    status: DeliveryStatus
    reason: Reason | None
    until: Moment | None


class ForecastTold(Told):
    """What every gate would say, and what would be sent."""

    user: str
    template: str
    at: Moment
    gates: list[GateTold]
    deliveries: list[ForecastDelivery]
