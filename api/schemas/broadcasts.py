"""Publications to topics, and the broadcasts that they become: as asked and as told."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from api.schemas.base import Asked, Moment, Name, PageQuery, Told
from api.schemas.sending import Line, Locale, PriorityName, PushWords
from api.schemas.topics import TopicName
from campaigns.broadcasts import BroadcastStatus
from domain.delivery import DeliveryStatus


class PublicationWords(Asked):
    """What every subscriber gets: a push, or a title and body that become one."""

    title: Line | None = None
    body: Annotated[str, Field(min_length=1, max_length=16_384)] | None = None
    push: PushWords | None = None


class PublicationAsked(Asked):
    """One publication: words for every subscriber of a topic."""

    content: PublicationWords
    channels: Annotated[list[Literal["push"]], Field(min_length=1, max_length=1)] | None = None
    locale: Locale | None = None
    priority: PriorityName = "normal"
    category: Name | None = None
    collapse_id: (
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=64,
                description="Of each id a device keeps the newest. Without one it is the topic's own, unless the topic "
                "keeps nothing.",
            ),
        ]
        | None
    ) = None
    dedupe_key: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    expires_in_s: (
        Annotated[int, Field(ge=1, le=2_592_000, description="counts from the publication, also while it waits")] | None
    ) = None


class BroadcastAccepted(Told):
    """The answer to a publication: it is kept."""

    id: UUID
    topic: str
    status: BroadcastStatus


class BroadcastInList(Told):
    """One of many. `planned` counts the devices that were judged so far, suppressed ones too."""

    id: UUID
    topic: str
    status: BroadcastStatus
    planned: int
    created_at: Moment
    finished_at: Moment | None
    cancelled_at: Moment | None


class BroadcastTold(BroadcastInList):
    """A broadcast, with its deliveries by status: null when there are too many to be counted while you wait.

    `finished_at`: nothing is left to plan, or after a cancellation to withdraw.
    """

    deliveries: dict[DeliveryStatus, int] | None


class BroadcastPage(Told):
    """Broadcasts, newest first."""

    items: list[BroadcastInList]
    next_cursor: str | None


class BroadcastQuery(PageQuery):
    """Of which topic, how many, and from where on."""

    topic: TopicName | None = None
    cursor: UUID | None = None


PUBLICATION_EXAMPLE: dict[str, Any] = {
    "content": {"title": "Goal!", "body": "Two to one.", "push": {"data": {"match": 17}}},
    "priority": "high",
    "expires_in_s": 600,
}
