"""What a gate decided, and with which inputs: the sentences of which every explanation is made."""

from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from domain.lanes import Channel
from domain.reasons import Reason
from domain.values import value


class Gate(StrEnum):
    """The gates of accept, in the order in which they are asked."""

    SHAPE = "shape"
    KEY_LIMIT = "key_limit"
    IDEMPOTENCY = "idempotency"
    RECIPIENT = "recipient"
    TEMPLATE = "template"
    CONSENT = "consent"
    USER_LIMIT = "user_limit"
    SCHEDULE = "schedule"
    QUIET_HOURS = "quiet_hours"
    DEDUPE = "dedupe"
    RECHECK = "recheck"


class Verdict(StrEnum):
    """What a gate said: go on, not now, or no."""

    PASS = "pass"  # noqa: S105  # the verdict passed, no password
    DEFER = "defer"
    SUPPRESS = "suppress"


@value(frozen=True, slots=True)
class Decision:
    """One gate's verdict, on the whole notification (`channel` None) or on one channel of it.

    `inputs` are what the gate looked at (preference version, local time, limit): plain JSON, never an address.
    """

    gate: Gate
    verdict: Verdict
    channel: Channel | None = None
    reason: Reason | None = None
    until: datetime | None = None
    inputs: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def passed(cls, gate: Gate, channel: Channel | None = None, **inputs: Any) -> Self:
        return cls(gate, Verdict.PASS, channel, inputs=inputs)

    @classmethod
    def suppress(cls, gate: Gate, reason: Reason, channel: Channel | None = None, **inputs: Any) -> Self:
        return cls(gate, Verdict.SUPPRESS, channel, reason, inputs=inputs)

    @classmethod
    def defer(cls, gate: Gate, reason: Reason, until: datetime, channel: Channel | None = None, **inputs: Any) -> Self:
        return cls(gate, Verdict.DEFER, channel, reason, until, inputs)
