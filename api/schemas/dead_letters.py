"""Dead letters: what may be asked of them, what may be done with them, and what is told."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, model_validator

from api.schemas.base import Asked, Moment, PageQuery, Query, QueryMoment, Told, Why
from api.schemas.notifications import EventTold, GateTold, NotificationInFull
from domain.errors import Fault, RequestRefused
from domain.lanes import Channel
from domain.replay import Refusal, RunStatus
from tracking.dead.listing import LetterState
from tracking.dead.trail import Act

MAX_IDS = 1000
_ClusterName = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$", description="as `clusters` tells it")]
_Label = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
_Ids = Annotated[list[Annotated[UUID, Field(strict=False)]], Field(min_length=1, max_length=MAX_IDS)]
_At = Annotated[QueryMoment, Field(strict=False)]


class ClusterQuery(Query):
    """Which letters are meant."""

    channel: Channel | None = None
    reason: _Label | None = None
    since: Annotated[QueryMoment | None, Field(description="died from then on")] = None
    until: Annotated[QueryMoment | None, Field(description="died before")] = None
    state: LetterState = LetterState.OPEN


class LetterQuery(ClusterQuery, PageQuery):
    """Which letters, how many, and from where on."""

    cluster: _ClusterName | None = None
    cursor: Annotated[str, Field(pattern=r"^\d{1,17}-[0-9a-f]{32}$")] | None = None


class RevealQuery(Query):
    """Whether people's data is to be seen: that needs the scope `ops`, and stands in the trail."""

    reveal: bool = False


class FilterAsked(Asked):
    """Open letters that have all of this in common; an empty one means all."""

    channel: Annotated[Channel | None, Field(strict=False)] = None
    reason: _Label | None = None
    cluster: _ClusterName | None = None
    since: _At | None = None
    until: _At | None = None


class ChosenAsked(Asked):
    """Letters by their ids, or by what they have in common."""

    ids: _Ids | None = None
    filter: FilterAsked | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "ChosenAsked":
        if (self.ids is None) is (self.filter is None):
            raise ValueError("send either ids or filter")
        return self


class EditAsked(Asked):
    """What is to be sent instead: `data` as a merge patch (RFC 7396: null takes a member out), `content` whole."""

    data: dict[str, Any] | None = None
    content: Annotated[dict[str, Any] | None, Field(description="as in a notification's request")] = None
    expires_at: _At | None = None
    why: Why | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_address(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("address") is not None:
            detail = "an edit of an address is not available yet: write it to the user, and the replay goes there"
            raise RequestRefused("not_available_yet", f"/address: {detail}", faults=(Fault("/address", detail),))
        return value

    @model_validator(mode="after")
    def _something(self) -> "EditAsked":
        if self.data is None and self.content is None and self.expires_at is None:
            raise ValueError("send data, content or expires_at")
        if self.data is not None and self.content is not None:
            raise ValueError("send either data or content, not both")
        return self


class EditManyAsked(ChosenAsked):
    """The same edit for many letters, at most 1,000."""

    set: EditAsked


class DiscardAsked(ChosenAsked):
    """Letters that nobody will send again, and why."""

    why: Why


class LetterInList(Told):
    """One of many; `cluster` names those of one cause. Addresses are taken out of `detail`."""

    id: UUID
    settled_at: Moment | None
    settlement: str | None
    channel: Channel | None
    reason: str
    detail: str
    cluster: str
    notification_id: UUID | None
    delivery_id: UUID | None
    created_at: Moment


class LetterPage(Told):
    """Letters, the last that died first."""

    items: list[LetterInList]
    next_cursor: str | None


class RecipientTold(Told):
    """For whom it was; masked unless `reveal` was asked for."""

    user: str | None
    name: str | None
    address: str | None


class EditTold(Told):
    """One version of the words; 0 is the original."""

    version: int
    data: dict[str, Any] | None
    content: dict[str, Any] | None
    expires_at: Moment
    by: str
    at: Moment


class NotedTold(Told):
    """Who did what, when and why; `diff` as RFC 6902, each operation with `was`."""

    at: Moment
    who: str
    what: Act
    why: str | None
    diff: list[dict[str, Any]] | None
    run_id: UUID | None


class LetterInFull(LetterInList):
    """A letter with its whole story. `data` or `content` is what a replay would send now."""

    is_revealed: bool
    evidence: dict[str, Any]
    recipient: RecipientTold | None
    data: dict[str, Any] | None
    content: dict[str, Any] | None
    expires_at: Moment | None
    edits: list[EditTold]
    notification: NotificationInFull | None
    gates: list[GateTold]
    events: list[EventTold]
    trail: list[NotedTold]


class ClusterTold(Told):
    """Letters of one cause; `reach` counts users, and addresses and devices without one."""

    cluster: str
    channel: Channel | None
    provider: str | None
    error: str
    template: str | None
    count: int
    reach: int
    first_seen_at: Moment
    last_seen_at: Moment
    last_hour: int
    hour_before: int


class ClustersTold(Told):
    """The hundred largest clusters, the largest first."""

    items: list[ClusterTold]


class EditedTold(Told):
    """The version that a replay sends now, and what differs from the one before; `was` is masked."""

    id: UUID
    version: int
    diff: list[dict[str, Any]]


class EditRefusedTold(Told):
    """A letter that the edit does not fit."""

    id: UUID
    reason: str
    detail: str


class EditedManyTold(Told):
    """What became of an edit of many."""

    edited: int
    refused: list[EditRefusedTold]


class DiscardedTold(Told):
    """How many were discarded; `is_complete` is false when there are more: ask again."""

    discarded: int
    already_settled: int
    is_complete: bool


class ReplayAsked(ChosenAsked):
    """Letters to be sent again: first `canary` of them, then ten, then the rest; any failure of the first stops it."""

    canary: Annotated[int, Field(ge=1, le=100)] = 1
    rate_per_s: Annotated[int, Field(ge=1, le=500)] = 50
    dry_run: bool = False


class ReplayTold(Told):
    """A replay. `refused` counts letters by why they are not sent again, `status` and `why` say how it ended.

    A dry run has no id, and looks no longer than three seconds: `is_complete` says whether that was enough.
    """

    id: UUID | None
    status: RunStatus | None
    dry_run: bool
    is_complete: bool
    matched: int
    looked_at: int
    replayed: int
    refused: dict[Refusal, int]
    canary: int
    rate_per_s: int
    why: str | None
    created_by: str
    created_at: Moment
    updated_at: Moment
    finished_at: Moment | None


class ReplayPage(Told):
    """Replays, newest first."""

    items: list[ReplayTold]
    next_cursor: str | None


class ReplayQuery(PageQuery):
    """How many, and from where on."""

    cursor: UUID | None = None
