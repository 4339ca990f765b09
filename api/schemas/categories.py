"""Categories: the rules that hold for a kind of notification."""

from typing import Annotated, Literal

from pydantic import Field

from api.schemas.base import Asked, Told

OpenChannel = Literal["push", "email", "sms"]


def _by_email() -> list[OpenChannel]:
    return ["email"]


class CategoryAsked(Asked):
    """A category as it shall be."""

    kind: Literal["transactional", "promotional", "critical"]
    default: Annotated[Literal["allow", "deny"], Field(description="what holds for those who never chose")] = "allow"
    required: Annotated[bool, Field(description="no preference silences it")] = False
    channels: Annotated[list[OpenChannel], Field(min_length=1)] = Field(default_factory=_by_email)
    dedupe_window_s: Annotated[int, Field(ge=0, le=2_592_000)] = 86_400
    expires_in_s: Annotated[int, Field(ge=1, le=2_592_000)] = 86_400
    ambiguous: Annotated[
        Literal["retry", "hold"], Field(description="when the provider may have taken it: send again, or wait")
    ] = "hold"


class CategoryTold(Told):
    """A category as it stands; the shipped ones are there until they are overwritten."""

    id: str
    kind: str
    default: Literal["allow", "deny"]
    required: bool
    channels: list[str]
    dedupe_window_s: int
    expires_in_s: int
    ambiguous: str


class CategoryPage(Told):
    """Every category of the tenant."""

    items: list[CategoryTold]
