"""Users, what they allow, and whom nobody may write to: as asked and as told."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, Field, field_validator, model_validator

from api.schemas.base import Asked, CategoryName, Moment, PageQuery, Told
from api.words import fault_of_line, fault_of_locale, fault_of_timezone, moment
from domain.lanes import Channel
from preferences.addresses import canonical_email, canonical_phone
from preferences.suppressions import SuppressionReason

OpenChannel = Literal["push", "email", "sms"]
Channels = dict[OpenChannel, bool]
TimeOfDay = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="HH:MM")]
Email = Annotated[str, Field(max_length=320)]
Phone = Annotated[str, Field(max_length=40, description="E.164")]
MAX_ATTRIBUTES_BYTES = 16 * 1024


class _Addresses(Asked):
    """An e-mail address and a phone, in canonical form once they are read."""

    email: Email | None = None
    phone: Phone | None = None

    @field_validator("email")
    @classmethod
    def _canonical_email(cls, text: str | None) -> str | None:
        return canonical_email(text) if text is not None else None

    @field_validator("phone")
    @classmethod
    def _canonical_phone(cls, text: str | None) -> str | None:
        return canonical_phone(text) if text is not None else None


class UserAsked(_Addresses):
    """A user as it shall be; what is left out is taken away."""

    locale: Annotated[str, Field(max_length=35, description="BCP 47")] | None = None
    timezone: Annotated[str, Field(max_length=64, description="IANA")] | None = None
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    attributes: Annotated[dict[str, Any], Field(description="at most 16 KiB as JSON")] = Field(default_factory=dict)

    @field_validator("locale")
    @classmethod
    def _locale(cls, text: str | None) -> str | None:
        return _without(fault_of_locale(text) if text is not None else None, text)

    @field_validator("timezone")
    @classmethod
    def _timezone(cls, text: str | None) -> str | None:
        return _without(fault_of_timezone(text) if text is not None else None, text)

    @field_validator("name")
    @classmethod
    def _name(cls, text: str | None) -> str | None:
        return _without(fault_of_line(text) if text is not None else None, text)


def _without(fault: str | None, text: str | None) -> str | None:
    if fault is not None:
        raise ValueError(fault)
    return text


class UserTold(Told):
    """A user as it stands; `version` grows with each change."""

    id: str
    email: str | None
    phone: str | None
    locale: str | None
    timezone: str | None
    name: str | None
    attributes: dict[str, Any]
    version: int
    created_at: Moment
    updated_at: Moment


class QuietHours(Asked):
    """When nothing but the critical may come; `timezone` null means the user's own."""

    start: TimeOfDay
    end: TimeOfDay
    timezone: Annotated[str, Field(max_length=64)] | None = None
    mode: Literal["defer", "drop"] = "defer"


class PreferencesDocument(Asked):
    """What a person allows. What is not named follows the category's default."""

    channels: Channels = Field(default_factory=dict)
    categories: dict[CategoryName, bool | Channels] = Field(default_factory=dict)
    quiet_hours: QuietHours | None = None
    unsubscribed: bool = False


class PreferencesPatch(Asked):
    """Changes as a JSON merge patch (RFC 7396): null takes a choice away."""

    channels: dict[OpenChannel, bool | None] | None = None
    categories: dict[CategoryName, bool | dict[OpenChannel, bool | None] | None] | None = None
    quiet_hours: QuietHours | None = None
    unsubscribed: bool | None = None


class HistoryQuery(PageQuery):
    """How many, and from where on."""

    cursor: Annotated[str, Field(pattern=r"^[1-9]\d{0,17}$")] | None = None


class PreferenceChange(Told):
    """One write to somebody's preferences: the whole document after it."""

    version: int
    document: dict[str, Any]
    changed_at: Moment
    actor: str
    source: str
    evidence: dict[str, Any]


class PreferenceHistory(Told):
    """Every write, newest first."""

    items: list[PreferenceChange]
    next_cursor: str | None


class SuppressionAsked(_Addresses):
    """An address that nobody may write to any more; give one of email and phone. No category means all."""

    category: CategoryName | None = None
    reason: SuppressionReason = SuppressionReason.MANUAL
    expires_at: AwareDatetime | None = None

    @field_validator("reason", mode="before")
    @classmethod
    def _reason(cls, value: object) -> object:
        return SuppressionReason(value) if isinstance(value, str) and value in set(SuppressionReason) else value

    @field_validator("expires_at", mode="before")
    @classmethod
    def _expires_at(cls, value: object) -> datetime | None:
        if value is None:
            return None
        if not isinstance(value, str):
            raise ValueError("must be an RFC 3339 time with an offset")  # pydantic's own protocol
        return moment(value)

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if (self.email is None) == (self.phone is None):
            raise ValueError("give one of email and phone")
        return self


class SuppressionQuery(PageQuery):
    """Which, how many, and from where on."""

    channel: Channel | None = None
    cursor: UUID | None = None


class SuppressionTold(Told):
    """A suppression; `category` null is all, `address` null: only its hash is left."""

    id: UUID
    channel: Channel
    address: str | None
    category: str | None
    reason: SuppressionReason
    source: str
    created_at: Moment
    expires_at: Moment | None


class SuppressionPage(Told):
    """Suppressions, oldest first."""

    items: list[SuppressionTold]
    next_cursor: str | None
