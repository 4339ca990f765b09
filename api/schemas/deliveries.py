"""Single deliveries: what may be asked and decided, and what is told."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from api.schemas.base import Asked, Moment, PageQuery, QueryMoment, Told, Why
from api.schemas.notifications import DeliveryTold
from domain.delivery import DeliveryStatus
from domain.holds import PROVIDERS
from domain.lanes import Channel
from domain.reasons import Reason
from tracking.resolve import ResolveAs

_PROVIDERS = "|".join(PROVIDERS)


class DeliveryQuery(PageQuery):
    """Which deliveries; `limit` counts notifications, of each of which all that fit are shown."""

    status: DeliveryStatus | None = None
    channel: Channel | None = None
    since: QueryMoment | None = None
    until: QueryMoment | None = None
    cursor: Annotated[str, Field(max_length=200)] | None = None


class DeliveryInList(DeliveryTold):
    """A delivery, and the notification that it is of."""

    notification_id: UUID
    user: str | None
    template: str | None
    category: str
    expires_at: Moment


class DeliveryPage(Told):
    """Deliveries, newest first; a page may be short, or empty, and still go on."""

    items: list[DeliveryInList]
    next_cursor: str | None


class ResolveAsked(Asked):
    """What an ambiguous delivery was: `sent`, `failed`, or to be tried again, which may reach somebody twice."""

    as_: Annotated[ResolveAs, Field(alias="as", strict=False)]
    why: Why


class RetryAsked(Asked):
    """Why it need not rest any longer."""

    why: Why


class RetryAllAsked(Asked):
    """Which resting deliveries need not rest any longer: of a provider, or for a reason; and from where on."""

    provider: Annotated[str | None, Field(pattern=f"^({_PROVIDERS})$")] = None
    reason: Annotated[Reason | None, Field(strict=False)] = None
    why: Why
    cursor: Annotated[UUID | None, Field(strict=False)] = None


class ChangedTold(Told):
    """Where it stands now; `is_changed` is false when it stood so already."""

    id: UUID
    status: DeliveryStatus
    is_changed: bool


class RetriedTold(Told):
    """How many go at once; with a `next_cursor` there is more to look through."""

    retried: int
    next_cursor: UUID | None
