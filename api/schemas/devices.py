"""Devices and what became of their tokens: as asked and as told."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from api.schemas.apps import BundleId
from api.schemas.base import Asked, Moment, PageQuery, Told, UserId
from api.shape import fault_of_user
from domain.push import PushProvider
from plumbing.push_metrics import TokenOperation

MAX_INFO_BYTES = 4096

Platform = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")]
Region = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")]
DeviceFacts = Annotated[dict[str, Any], Field(description=f"at most {MAX_INFO_BYTES} bytes as JSON")]
DeviceToken = Annotated[
    str, Field(max_length=4096, description="hexadecimal, 8 to 200 bytes; other providers' tokens are texts of theirs")
]


def _checked_user(text: str) -> str:
    if (fault := fault_of_user(text)) is not None:
        raise ValueError(fault)
    return text


OwnerId = Annotated[UserId, AfterValidator(_checked_user)]


class RegistrationAsked(Asked):
    """A device that makes itself known, again or anew.

    With `device_id` the device of that id gets this token (or a minted one), and its old one is forgotten; an app key
    must then send the old one as `previous_token`. Tokens of other providers (`provider`) are kept, sealed; sending to
    them is not available yet.
    """

    app_bundle_id: BundleId
    token: DeviceToken | None = None
    provider: Literal["carillon", "apns", "fcm", "web_push"] = "carillon"
    user: OwnerId | None = None
    platform: Platform | None = None
    region: Region | None = None
    device_info: DeviceFacts | None = None
    device_id: Annotated[UUID | None, Field(strict=False)] = None
    previous_token: DeviceToken | None = None


class RegisteredTold(Told):
    """The device. `token` stands there once, when it was minted here; `gateways` are where it may connect."""

    device_id: UUID
    token: str | None
    token_hash: str
    gateways: list[str]


class DevicePatch(Asked):
    """What shall be different. `user` null takes the device from its user; what waited for it is cancelled.

    `is_valid` false suspends the device, true restores it.
    """

    user: OwnerId | None = None
    platform: Platform | None = None
    region: Region | None = None
    device_info: DeviceFacts | None = None
    is_valid: bool | None = None
    reason: Literal["unregistered", "bad_token", "reported"] | None = None


class DeviceTold(Told):
    """A device; of its token only a keyed hash, by which feedback names it too."""

    device_id: UUID
    app_bundle_id: str
    user: str | None
    provider: PushProvider
    platform: str
    region: str | None
    device_info: dict[str, Any]
    token_hash: str
    is_valid: bool
    invalidated_at: Moment | None
    invalidation_reason: str | None
    created_at: Moment
    updated_at: Moment
    last_seen_at: Moment | None


class DeviceQuery(PageQuery):
    """Whose, how many, and from where on."""

    user: OwnerId
    cursor: UUID | None = None


class DevicePage(Told):
    """Devices, newest first."""

    items: list[DeviceTold]
    next_cursor: str | None


class AuditTold(Told):
    """One thing that happened to a device's token."""

    operation: TokenOperation
    token_prefix: str | None
    actor: str
    reason: str | None
    at: Moment


class AuditQuery(PageQuery):
    """How many, and from where on."""

    cursor: UUID | None = None


class AuditPage(Told):
    """What happened, newest first."""

    items: list[AuditTold]
    next_cursor: str | None


class FeedbackQuery(PageQuery):
    """Of which app, how many, and from where on."""

    app_bundle_id: BundleId | None = None
    cursor: Annotated[str, Field(pattern=r"^\d{1,18}\.[0-9a-f]{32}$")] | None = None


class FeedbackItem(Told):
    """A token that died. `cursor` is the place behind it: keep the last one to go on from there another day."""

    token_hash: str
    device_id: UUID
    app_bundle_id: str
    reason: str
    timestamp: Moment
    cursor: str


class FeedbackPage(Told):
    """What died, oldest first; `next_cursor` null: nothing more by now."""

    items: list[FeedbackItem]
    next_cursor: str | None
