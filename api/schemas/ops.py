"""What operators stop and let go, as asked and as told."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from api.schemas.base import Asked, Moment, PageQuery, Query, Told, Why
from domain.holds import HoldKind


class HoldAsked(Asked):
    """What is to be held. `subject` is a template's or category's name, a tenant's id or name, a provider's name, or a
    lane as `email.high`."""

    kind: Annotated[HoldKind, Field(strict=False)]
    subject: Annotated[str, Field(min_length=1, max_length=200)]
    why: Why


class WhyAsked(Asked):
    """Why it is done."""

    why: Why


class ReleaseQuery(Query):
    """Why it is released."""

    why: Why | None = None


class HoldQuery(PageQuery):
    """Which holds, how many, and from where on."""

    state: Literal["open", "released", "all"] = "open"
    kind: HoldKind | None = None
    cursor: UUID | None = None


class HoldTold(Told):
    """A hold: what it names, who opened and who released it, and why. `tenant_id` null: the whole platform."""

    id: UUID
    tenant_id: UUID | None
    kind: HoldKind
    subject: str
    why: str
    created_by: str
    created_at: Moment
    released_at: Moment | None
    released_by: str | None
    released_why: str | None


class Waiting(Told):
    """Deliveries set aside in PostgreSQL; `is_more`: nobody has counted them to the end."""

    deliveries: int
    is_more: bool


class HoldInList(HoldTold):
    """A hold, and what waits for its release."""

    waiting: Waiting


class HoldPage(Told):
    """Holds of the platform and of the key's tenant, the newest first."""

    items: list[HoldInList]
    next_cursor: UUID | None


class LaneTold(Told):
    """A lane, and the hold that pauses it; null when it is open."""

    lane: str
    is_paused: bool
    hold: HoldTold | None
