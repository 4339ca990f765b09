"""Holds: what an operator has stopped, and which deliveries that names. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.lanes import Channel, Lane, Priority
from domain.notification import Mode

PROVIDERS = {"smtp": Channel.EMAIL, "sms": Channel.SMS, "gateway": Channel.PUSH}
"""Providers by the name they have in the API, and the channel each serves."""


class HoldKind(StrEnum):
    """What a hold names."""

    TEMPLATE = "template"
    CATEGORY = "category"
    TENANT = "tenant"
    PROVIDER = "provider"
    CAMPAIGN = "campaign"
    LANE = "lane"


OF_TENANT = frozenset({HoldKind.TEMPLATE, HoldKind.CATEGORY})
"""What bears a name that only its tenant knows; the others hold for the whole platform."""


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold: what it names and since when, who made it and why; and the same of its release.

    `subject` is a name, a tenant's id, or a lane as `email.high`.
    """

    id: UUID
    tenant_id: UUID | None
    kind: HoldKind
    subject: str
    why: str
    created_by: str
    created_at: datetime
    released_at: datetime | None = None
    released_by: str | None = None
    released_why: str | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """What a hold asks of a delivery; None asks nothing."""

    tenant_id: UUID | None = None
    channel: Channel | None = None
    priority: Priority | None = None
    template: str | None = None
    category: str | None = None
    passes_tests: bool = False
    """A provider is not called for test keys: holding it holds nothing of theirs."""


def named_by(hold: Hold) -> Named:
    """What this hold names. ValueError for a subject that cannot be read."""
    match hold.kind:
        case HoldKind.TEMPLATE:
            return Named(tenant_id=hold.tenant_id, template=hold.subject)
        case HoldKind.CATEGORY:
            return Named(tenant_id=hold.tenant_id, category=hold.subject)
        case HoldKind.TENANT:
            return Named(tenant_id=UUID(hold.subject))
        case HoldKind.PROVIDER if hold.subject in PROVIDERS:
            return Named(channel=PROVIDERS[hold.subject], passes_tests=True)
        case HoldKind.LANE:
            lane = Lane.parse(hold.subject)
            return Named(channel=lane.channel, priority=lane.priority)
    raise ValueError(f"nobody knows what a hold of {hold.kind} {hold.subject!r} names")


class OpenHolds:
    """The holds that are open now; false when there are none."""

    def __init__(self, holds: Iterable[Hold] = ()) -> None:
        self.named = [(hold, named_by(hold)) for hold in holds]

    def __bool__(self) -> bool:
        return bool(self.named)

    def over(
        self,
        *,
        tenant_id: UUID,
        channel: Channel,
        priority: Priority,
        mode: Mode,
        template: str | None,
        category: str,
    ) -> Hold | None:
        """The oldest hold that names such a delivery; None when it may go."""
        for hold, named in self.named:
            if (
                named.tenant_id in (None, tenant_id)
                and named.channel in (None, channel)
                and named.priority in (None, priority)
                and named.template in (None, template)
                and named.category in (None, category)
                and not (named.passes_tests and mode is Mode.TEST)
            ):
                return hold
        return None
