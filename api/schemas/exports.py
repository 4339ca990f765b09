"""All that is known of a user, and the proof that it is known no more: as told."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from api.schemas.base import Moment, PageQuery, Told
from api.schemas.people import PreferenceChange, SuppressionTold, UserTold


class ContactExport(Told):
    """An address."""

    id: UUID
    channel: str
    address: str
    created_at: Moment
    updated_at: Moment


class PreferencesExport(Told):
    """What the user chose, at a version of the user."""

    version: int
    document: dict[str, Any]
    updated_at: Moment | None


class DeviceExport(Told):
    """A device of the user; its token is kept nowhere."""

    id: UUID
    app_bundle_id: str
    platform: str
    provider: str
    region: str | None
    device_info: dict[str, Any]
    created_at: Moment
    last_seen_at: Moment | None
    invalidated_at: Moment | None


class TopicExport(Told):
    """What one of the user's devices subscribed to."""

    device_id: UUID
    topic: str
    subscribed_at: Moment


class LetterExport(Told):
    """A push that waits for one of the user's devices."""

    delivery_id: UUID
    device_id: UUID
    wake: int
    topic: str | None
    payload: Any
    stored_at: Moment
    expires_at: Moment


class UserExport(Told):
    """Everything that is kept of a user. Notifications carry their words, decisions, deliveries and events."""

    user: UserTold
    contacts: list[ContactExport]
    preferences: PreferencesExport
    preference_history: list[PreferenceChange]
    suppressions: list[SuppressionTold]
    devices: list[DeviceExport]
    topics: list[TopicExport]
    mailbox: list[LetterExport]
    notifications: list[dict[str, Any]]
    dead_letters: list[dict[str, Any]]


class ErasureQuery(PageQuery):
    """Whose, how many, and from where on."""

    user: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]*$")] | None = None
    cursor: UUID | None = None


class ErasureTold(Told):
    """One erasure; `actor` is the first letters of the key that asked for it, `counts` are rows by table."""

    id: UUID
    actor: str
    asked_at: Moment
    emptied_at: Moment | None
    closed_at: Moment | None
    counts: dict[str, int]


class ErasurePage(Told):
    """Erasures, newest first."""

    items: list[ErasureTold]
    next_cursor: str | None
