"""What the two hot routes take and answer, for OpenAPI. The routes themselves read by `api.shape`, which is quicker
and gathers every fault; a test sends what stands here through it."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from api.schemas.base import Asked, Fault, Moment, Name, Told, UserId
from domain.notification import NotificationStatus
from domain.reasons import Reason

Line = Annotated[str, Field(min_length=1, max_length=500, description="one line, no control characters")]
Locale = Annotated[str, Field(max_length=35, description="BCP 47, such as pt-BR")]
Zone = Annotated[str, Field(max_length=64, description="IANA time zone")]
OpenChannel = Literal["push", "email", "sms"]
PriorityName = Literal["critical", "high", "normal", "low"]


class To(Asked):
    """A person: by user id, by address, or both, which creates or updates that user in the same transaction; or one
    device, by its token alone."""

    user: UserId | None = None
    email: Annotated[str, Field(max_length=254)] | None = None
    phone: Annotated[str, Field(description="E.164")] | None = None
    locale: Locale | None = None
    timezone: Zone | None = None
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    device_token: Annotated[str, Field(min_length=1, max_length=4096)] | None = None


class EmailWords(Asked):
    """One email, in the sender's own words."""

    subject: Line
    text: Annotated[str, Field(min_length=1, max_length=204_800)] | None = None
    html: Annotated[str, Field(min_length=1, max_length=204_800)] | None = None


class SmsWords(Asked):
    """One SMS, in the sender's own words."""

    text: Annotated[str, Field(min_length=1, max_length=16_384)]


class Action(Asked):
    """A button under a push; `url` is opened when it is pressed."""

    id: Annotated[str, Field(min_length=1, max_length=64)]
    title: Annotated[str, Field(min_length=1, max_length=100)]
    url: Annotated[str, Field(max_length=2000, description="absolute; no scheme that runs code")] | None = None


class PushWords(Asked):
    """One push, in the sender's own words: all of it at most 4096 bytes as JSON.

    An alert that is missing is made from title and body, unless the push is a silent one.
    """

    aps: Annotated[dict[str, Any], Field(description="Apple's keys; those that are not known pass")] | None = None
    data: Annotated[dict[str, Any], Field(description="for the app itself")] | None = None
    image_url: Annotated[str, Field(max_length=2000, pattern=r"^https:")] | None = None
    actions: Annotated[list[Action], Field(min_length=1, max_length=4)] | None = None
    wake: Annotated[Literal[10, 5, 1], Field(description="how eagerly the device wakes")] | None = None


class Words(Asked):
    """The sender's own words; what a channel lacks it takes from title and body."""

    title: Line | None = None
    body: Annotated[str, Field(min_length=1, max_length=16_384)] | None = None
    email: EmailWords | None = None
    sms: SmsWords | None = None
    push: PushWords | None = None


class NotificationRequestBody(Asked):
    """One notification: to whom, and either a template with its data or content."""

    to: UserId | To
    template: Name | None = None
    version: Annotated[int, Field(ge=1)] | None = None
    locale: Locale | None = None
    data: Annotated[dict[str, Any], Field(description="at most 64 KiB as JSON")] | None = None
    content: Words | None = None
    channels: Annotated[list[OpenChannel], Field(min_length=1)] | None = None
    priority: PriorityName = "normal"
    category: Name | None = None
    collapse_id: (
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=64,
                description="A newer push with the same id replaces an older one that was not shown. Kept, and without "
                "effect on email and SMS.",
            ),
        ]
        | None
    ) = None
    dedupe_key: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    expires_in_s: Annotated[int, Field(ge=1, le=2_592_000)] | None = None
    send_at: Annotated[Moment, Field(description="at most a year ahead; what is past is now")] | None = None


class DevicePushBody(Asked):
    """One push to one device, in Apple's words; where it is silent, its `apns-` headers speak."""

    payload: Annotated[dict[str, Any], Field(description="with `aps` in it; at most 4096 bytes as JSON")]
    priority: (
        Annotated[Literal[10, 5, 1], Field(description="the wake: at once, at the next window, batched")] | None
    ) = None
    expiration: (
        Annotated[int, Field(ge=0, le=2**40, description="epoch seconds; 0: now or never. Without it, as its app says")]
        | None
    ) = None
    collapse_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    category: Name | None = None


class BulkRequestBody(Asked):
    """Up to a thousand notifications; each has a result of its own."""

    notifications: Annotated[list[NotificationRequestBody], Field(min_length=1, max_length=1000)]


class PlannedTold(Told):
    """One delivery as it was planned."""

    id: UUID
    channel: OpenChannel
    device_id: UUID | None = None
    status: Literal["queued", "deferred", "suppressed"]
    reason: Reason | None = None
    until: Moment | None = None


class AcceptedTold(Told):
    """The answer to one notification: it is kept, and this is the plan."""

    id: UUID
    status: NotificationStatus
    reason: Reason | None = None
    duplicate_of: UUID | None = None
    deliveries: list[PlannedTold]


class DeviceAcceptedTold(AcceptedTold):
    """The answer to one push: `expired` when it was too late when it came, and is kept for the record only."""

    expired: Literal[True] | None = None


class BulkError(Told):
    """Why one of many was refused; pointers lead into the bulk request."""

    status: int
    reason: str
    detail: str
    errors: list[Fault]


class BulkResult(Told):
    """What became of one of many."""

    index: int
    id: UUID | None
    status: NotificationStatus | Literal["rejected"]
    error: BulkError | None
    duplicate_of: UUID | None = None


class BulkTold(Told):
    """The answers to many, in their order."""

    accepted: int
    rejected: int
    results: list[BulkResult]


ONE_EXAMPLE: dict[str, Any] = {
    "to": {"user": "user-42", "email": "ada@example.org", "timezone": "Europe/Paris"},
    "template": "order_shipped",
    "data": {"order": "A-1001"},
    "channels": ["email"],
    "priority": "high",
    "category": "orders",
    "dedupe_key": "shipped-A-1001",
    "expires_in_s": 3600,
}
CONTENT_EXAMPLE: dict[str, Any] = {
    "to": {"phone": "+33612345678"},
    "content": {"body": "Your parcel has left."},
    "channels": ["sms"],
}
PUSH_EXAMPLE: dict[str, Any] = {
    "to": "user-42",
    "content": {
        "title": "Goal!",
        "body": "Two to one, in the 87th minute.",
        "push": {
            "aps": {"sound": "default", "thread-id": "match-17"},
            "data": {"match": 17},
            "actions": [{"id": "open", "title": "See the table", "url": "https://example.org/table"}],
        },
    },
    "channels": ["push"],
    "collapse_id": "match-17",
    "expires_in_s": 600,
}
ACCEPTED_EXAMPLE: dict[str, Any] = {
    "id": "01930b7a-6c00-7f2e-8a51-5d3c2b1a0000",
    "status": "accepted",
    "deliveries": [{"id": "01930b7a-6c00-7f2e-8a51-5d3c2b1a0001", "channel": "email", "status": "queued"}],
}
DEVICE_EXAMPLE: dict[str, Any] = {
    "payload": {"aps": {"alert": {"title": "Goal!", "body": "Two to one."}, "sound": "default"}, "match": 17},
    "priority": 10,
    "collapse_id": "match-17",
}
DEVICE_TOLD_EXAMPLE: dict[str, Any] = {
    "id": "01930b7a-6c00-7f2e-8a51-5d3c2b1a0000",
    "status": "accepted",
    "deliveries": [
        {
            "id": "01930b7a-6c00-7f2e-8a51-5d3c2b1a0001",
            "channel": "push",
            "device_id": "01930b00-1a00-7c11-9f00-8d2e4f6a1b3c",
            "status": "queued",
        }
    ],
}
BULK_EXAMPLE: dict[str, Any] = {"notifications": [ONE_EXAMPLE, CONTENT_EXAMPLE]}
