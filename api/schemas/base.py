"""What every schema shares: unknown fields are refused, and types are taken as they stand."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
)

from domain.clock import rfc3339

Moment = Annotated[datetime, PlainSerializer(rfc3339, return_type=str)]
"""A time; leaves the house in UTC with milliseconds and a Z."""


def _no_text_of_digits(value: object) -> object:
    """Times in queries are RFC 3339; pydantic would take seconds since 1970 too."""
    if isinstance(value, str) and not value[4:5] == "-":
        raise ValueError("must be an RFC 3339 time with an offset, such as 2027-01-31T09:00:00Z")
    return value


def _within_reach(at: datetime) -> datetime:
    """Ids count from 1970, and sums of times must not leave the calendar."""
    if not _EARLIEST <= at < _LATEST:
        raise ValueError("must lie in the years 1970 to 2999")
    return at


_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)

QueryMoment = Annotated[AwareDatetime, BeforeValidator(_no_text_of_digits), AfterValidator(_within_reach)]
"""A time as it is asked for."""

UserId = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]
Why = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S", description="for those who come after")]
CategoryName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]


class Asked(BaseModel):
    """Part of a request: strict types, no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Query(BaseModel):
    """What may stand behind the question mark: no unknown names."""

    model_config = ConfigDict(extra="forbid")


class PageQuery(Query):
    """How many; where from is each list's own."""

    limit: Annotated[int, Field(ge=1, le=100)] = 50


class Told(BaseModel):
    """Part of an answer."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)


class Fault(Told):
    """One thing wrong with a request."""

    pointer: str
    detail: str


class Problem(Told):
    """An error, as RFC 9457 has it, with a stable `reason` and a pointer for each fault."""

    type: str
    title: str
    status: int
    detail: str
    reason: str
    errors: list[Fault]
    instance: str | None = None
