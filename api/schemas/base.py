"""What every schema shares: unknown fields are refused, and types are taken as they stand."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainSerializer, StringConstraints

from domain.clock import rfc3339

Moment = Annotated[datetime, PlainSerializer(rfc3339, return_type=str)]
"""A time; leaves the house in UTC with milliseconds and a Z."""

UserId = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]
CategoryName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]


class Asked(BaseModel):
    """Part of a request: strict types, no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True)


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
