"""The operator's overview and breakers, as asked and as told."""

from typing import Annotated, Any

from pydantic import Field

from api.schemas.base import Asked, Moment, Told, Why
from api.schemas.ops import Waiting
from tracking.orders import BreakerWish


class OrderAsked(Asked):
    """What a breaker is to do in all workers."""

    state: Annotated[BreakerWish, Field(strict=False)]
    why: Why


class LaneSeen(Told):
    """A lane: messages ready in the broker, deliveries that wait in PostgreSQL for room there, and what is begun."""

    lane: str
    is_paused: bool | None
    broker_messages: int | None
    waiting: Waiting | None
    oldest_s: float | None
    begun_last_minute: int | None


class OrderTold(Told):
    """The last order: what, why, by whom and when."""

    provider: str
    state: BreakerWish
    why: str
    ordered_by: str
    ordered_at: Moment


class BreakerOfWorker(Told):
    """How one worker's breaker stood when it was last heard of."""

    worker: str
    at: Moment
    state: str
    is_forced: bool
    opened_at: Moment | None
    retry_after_s: float


class BreakerTold(Told):
    """A provider's breaker over all workers."""

    provider: str
    ordered: BreakerWish
    order: OrderTold | None
    workers: list[BreakerOfWorker]


class BreakersTold(Told):
    """Every breaker; `unknown` names what could not be asked."""

    items: list[BreakerTold]
    unknown: list[str]


class RoleTold(Told):
    """A worker or scheduler: heard of within ten seconds, or not; and what it tells of itself."""

    name: str
    role: str
    is_alive: bool
    begun_at: Moment
    at: Moment
    facts: dict[str, Any]


class GatewayTold(Told):
    """A gateway that is alive."""

    node: str
    region: str


class OutboxTold(Told):
    """The oldest that waits for room in the broker, and for how long the sweeper has been overdue."""

    oldest_s: float
    sweep_overdue_s: float | None


class LeaderTold(Told):
    """A lease: who holds it until when."""

    name: str
    owner: str
    until: Moment
    leads: bool


class OverviewTold(Told):
    """Everything at one look; what is null could not be asked, and `unknown` names it."""

    at: Moment
    lanes: list[LaneSeen]
    breakers: list[BreakerTold]
    roles: list[RoleTold] | None
    gateways: list[GatewayTold] | None
    outbox: OutboxTold | None
    leaders: list[LeaderTold] | None
    unknown: list[str]
