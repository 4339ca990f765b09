"""What the demo plays: who gets what, and how it must end. Data only.

Recipients script the simulated providers (channels/scripts.py); `{run}` makes each performance's people new.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from domain.delivery import DeliveryStatus
from domain.lanes import Channel
from domain.reasons import Reason

RETRIED_WITHIN_S = 9
"""A failed delivery rests 2 s or 10 s, at random; with this expiry the longer rest would be too late."""


@dataclass(frozen=True, slots=True)
class End:
    """How one delivery must end: its status and reason, after how many attempts, and how often its provider took it."""

    status: DeliveryStatus
    attempts: int = 1
    taken: int = 1
    reason: Reason | None = None


class Moment(StrEnum):
    """When a scene is played."""

    FIRST = "first"
    """While the device is connected."""
    AWAY = "away"
    """While it is not; it comes back afterwards."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One notification. `repeats` names the scene whose news it is once more: then nothing may be sent.

    With `by_door` it comes through the provider door, as an APNs client sends it.
    """

    title: str
    to: str
    words: dict[str, Any]
    ends: dict[Channel, End]
    more: dict[str, Any] = field(default_factory=dict)
    repeats: int | None = None
    moment: Moment = Moment.FIRST
    by_door: bool = False

    def request(self, run: str) -> dict[str, Any]:
        """The request's body, for the performance `run`."""
        people = {"user": {"user": person(self.to, run)}, "address": {"email": f"{self.to}+{run}@example.com"}}
        to = people["address" if self.to in ADDRESSES else "user"]
        more = {name: value.format(run=run) if isinstance(value, str) else value for name, value in self.more.items()}
        return {"to": to, **self.words, **more}


def person(name: str, run: str) -> str:
    """The user of the performance `run` that is called `name`."""
    return f"demo-{name}-{run}"


PEOPLE: dict[str, dict[str, Any]] = {
    "ada": {"email": "ok+ada-{run}@example.com", "phone": "+14155550100", "name": "Ada"},
    "ben": {"email": "ok+ben-{run}@example.com", "phone": "+14155550101", "name": "Ben"},
    "cleo": {"name": "Cleo"},
}
OWNER = "cleo"
"""Whose device it is that connects to the gateway."""
PREFERENCES: dict[str, dict[str, Any]] = {"ben": {"channels": {"sms": False}}}
ADDRESSES = ("greylist-1", "bounce")

_SENT = End(DeliveryStatus.SENT)
_SHOWN = End(DeliveryStatus.DELIVERED)
_SHIPPED: dict[str, Any] = {"template": "order_shipped", "data": {"order": "A-1001"}}
_PUSH = {"channels": ["push"], "category": "general", "priority": "high"}


def _score(words: str) -> dict[str, Any]:
    return {"content": {"title": "Football", "body": words}}


_BOTH = {"channels": ["email", "sms"], "category": "orders"}

SCENES = (
    Scene(
        "An order has shipped",
        "ada",
        _SHIPPED,
        ends={Channel.EMAIL: _SENT, Channel.SMS: End(DeliveryStatus.DELIVERED)},
        more={**_BOTH, "dedupe_key": "shipped-A-1001-{run}"},
    ),
    Scene(
        "The same; Ben wants no SMS",
        "ben",
        _SHIPPED,
        ends={
            Channel.EMAIL: _SENT,
            Channel.SMS: End(DeliveryStatus.SUPPRESSED, attempts=0, taken=0, reason=Reason.CHANNEL_OPT_OUT),
        },
        more=_BOTH,
    ),
    Scene(
        "A server that says “later”",
        "greylist-1",
        _SHIPPED,
        ends={Channel.EMAIL: End(DeliveryStatus.SENT, attempts=2)},
        more={"category": "orders", "channels": ["email"], "priority": "critical", "expires_in_s": RETRIED_WITHIN_S},
    ),
    Scene(
        "An address nobody has",
        "bounce",
        _SHIPPED,
        ends={Channel.EMAIL: End(DeliveryStatus.FAILED, taken=0, reason=Reason.ADDRESS_REJECTED)},
        more={"category": "orders", "channels": ["email"]},
    ),
    Scene(
        "The first one once more",
        "ada",
        _SHIPPED,
        ends={},
        more={**_BOTH, "dedupe_key": "shipped-A-1001-{run}"},
        repeats=0,
    ),
    Scene("A push to Cleo's device", OWNER, _score("Kick-off"), ends={Channel.PUSH: _SHOWN}, more=_PUSH),
    Scene(
        "One by an APNs client",
        OWNER,
        {"aps": {"alert": {"title": "Football", "body": "Half-time"}}},
        ends={Channel.PUSH: _SHOWN},
        by_door=True,
    ),
    Scene(
        "A goal while it is away",
        OWNER,
        _score("1:0"),
        ends={Channel.PUSH: End(DeliveryStatus.COLLAPSED, taken=0, reason=Reason.SUPERSEDED)},
        more={**_PUSH, "collapse_id": "score-{run}"},
        moment=Moment.AWAY,
    ),
    Scene(
        "The next; only it is shown",
        OWNER,
        _score("2:0"),
        ends={Channel.PUSH: _SHOWN},
        more={**_PUSH, "collapse_id": "score-{run}"},
        moment=Moment.AWAY,
    ),
)
