"""What would become of a notification, or became of it: as asked and as told."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from api.schemas.base import Moment, Query, QueryMoment, Told
from api.schemas.notifications import ExplanationTold, GateTold
from api.schemas.people import PreferenceChange, SuppressionTold
from domain.delivery import DeliveryStatus
from domain.lanes import Channel
from domain.reasons import Reason


class ForecastQuery(Query):
    """Who, what, and when if not now; of the past it is told what was accepted at most `window_s` before or after."""

    user: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
    template: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]
    at: QueryMoment | None = None
    window_s: Annotated[int, Field(ge=1, le=86_400)] = 900


class ForecastDelivery(Told):
    """One delivery as it would be planned."""

    channel: Channel
    device_id: UUID | None
    status: DeliveryStatus
    reason: Reason | None
    until: Moment | None


class PastTold(Told):
    """What is known of a time in the past.

    `notifications` were accepted around it, with what every gate said then; `before` and `after` are the nearest ones
    outside of the window. `preferences` are those that held (null: nothing was chosen yet), `suppressions` those that
    were there. `unknown` says in sentences what nobody can know any more.
    """

    notifications: list[ExplanationTold]
    before: UUID | None
    after: UUID | None
    preferences: PreferenceChange | None
    suppressions: list[SuppressionTold]
    unknown: list[str]


class ForecastTold(Told):
    """What every gate would say, and what would be sent. Of a time that is over it is judged by what was known then,
    and `past` says what became of it in truth."""

    user: str
    template: str
    at: Moment
    gates: list[GateTold]
    deliveries: list[ForecastDelivery]
    past: PastTold | None = None
