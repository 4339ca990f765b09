"""Status webhooks: as asked and as told."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from api.schemas.base import Asked, Moment, PageQuery, Told
from api.words import moment
from domain.webhooks import EVENTS, Disabled
from plumbing.signatures import read_secret

LONGEST_OVERLAP_S = 7 * 86_400


def _event(name: str) -> str:
    if name not in EVENTS:
        raise ValueError(f"must be one of {', '.join(EVENTS)}")
    return name


def _secret(text: str) -> str:
    read_secret(text)
    return text


def _moment(value: object) -> object:
    return moment(value) if isinstance(value, str) else value


Url = Annotated[str, Field(max_length=2000, description="https, port 443 or 8443, a public host; no redirects")]
Events = Annotated[
    list[Annotated[str, AfterValidator(_event), Field(json_schema_extra={"enum": list(EVENTS)})]],
    Field(min_length=1, max_length=2 * len(EVENTS)),
]
Secret = Annotated[
    str, AfterValidator(_secret), Field(max_length=200, description="whsec_ and 24 to 64 bytes in base64; else made")
]
At = Annotated[datetime, BeforeValidator(_moment)]


class WebhookAsked(Asked):
    """A new webhook."""

    url: Url
    events: Events
    secret: Secret | None = None


class WebhookPatch(Asked):
    """What shall be otherwise; what is left out stays."""

    url: Url | None = None
    events: Events | None = None
    is_active: Annotated[bool, Field(description="true tells it again, with a clean record; false stops")] | None = None


class RotationAsked(Asked):
    """A new secret; the one before signs as well for `overlap_s`."""

    secret: Secret | None = None
    overlap_s: Annotated[int, Field(ge=0, le=LONGEST_OVERLAP_S)] = 86_400


class ReplayAsked(Asked):
    """Which messages to tell again: one, or those that are settled of what happened in a time."""

    message_id: Annotated[UUID, BeforeValidator(lambda text: UUID(text) if isinstance(text, str) else text)] | None = (
        None
    )
    since: At | None = None
    until: At | None = None
    failed_only: Annotated[bool, Field(description="of a time: not those that were told already")] = True

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.message_id is None) == (self.since is None):
            raise ValueError("give one of message_id and since")
        if self.message_id is not None and self.until is not None:
            raise ValueError("until goes with since")
        if self.since is not None and self.until is not None and self.until <= self.since:
            raise ValueError("until must be after since")
        return self


class WebhookTold(Told):
    """A webhook. Disabled ones are told nothing: `gone` (it answered 410), `failing` (for five days) or `by_hand`."""

    id: UUID
    url: str
    events: list[str]
    is_active: bool
    disabled_reason: Disabled | None
    disabled_at: Moment | None
    failing_since: Moment | None
    old_secret_until: Moment | None
    created_at: Moment


class WebhookMade(WebhookTold):
    """A webhook with its new secret, which is shown this once."""

    secret: str


class WebhookPage(Told):
    """Webhooks, oldest first."""

    items: list[WebhookTold]
    next_cursor: str | None


class WebhookQuery(PageQuery):
    """How many, and from where on."""

    cursor: UUID | None = None


class WebhookAttemptTold(Told):
    """One attempt to tell. `type` null: its message is kept no longer."""

    id: UUID
    message_id: UUID
    type: str | None
    delivery_id: UUID | None
    attempt: int
    at: Moment
    status_code: int | None
    answer: str | None
    error: str | None
    duration_ms: int


class WebhookAttemptPage(Told):
    """Attempts, newest first."""

    items: list[WebhookAttemptTold]
    next_cursor: str | None


class ReplayTold(Told):
    """How many messages are told again; `has_more` when these were as many as one request takes."""

    replayed: int
    has_more: bool


class WebhookTestTold(Told):
    """The test event is noted; its attempts are found by this id."""

    message_id: UUID
