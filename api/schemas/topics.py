"""Topics and subscriptions: as asked and as told."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from api.schemas.base import Asked, Moment, PageQuery, Told
from channels.push.topics import TopicStorage

TOPIC_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.~:-]{0,99}$"
MAX_BULK_DEVICES = 1000

TopicName = Annotated[str, StringConstraints(pattern=TOPIC_NAME)]
Devices = Annotated[list[Annotated[UUID, Field(strict=False)]], Field(max_length=MAX_BULK_DEVICES)]


class TopicAsked(Asked):
    """What the topic keeps for subscribers that are away: the most recent message, or none."""

    storage: Literal["none", "most_recent"] = "most_recent"


class TopicTold(Told):
    """A topic and how many devices subscribe to it."""

    topic: str
    storage: TopicStorage
    subscribers: int
    created_at: Moment


class TopicQuery(PageQuery):
    """How many, and from where on."""

    cursor: TopicName | None = None


class TopicPage(Told):
    """Topics by name."""

    items: list[TopicTold]
    next_cursor: str | None


class SubscriptionTold(Told):
    """A topic of a device."""

    topic: str
    subscribed_at: Moment


class SubscriptionPage(Told):
    """A device's topics by name."""

    items: list[SubscriptionTold]
    next_cursor: str | None


class SubscriptionsAsked(Asked):
    """Up to a thousand devices to put on a topic, and as many to take off; a device must not stand in both."""

    subscribe: Devices = Field(default_factory=list)
    unsubscribe: Devices = Field(default_factory=list)


class SubscriptionsTold(Told):
    """What changed. `full`: devices with too many topics; `unknown`: no devices of this tenant."""

    subscribed: int
    unsubscribed: int
    full: list[UUID]
    unknown: list[UUID]
