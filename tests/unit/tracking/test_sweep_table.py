"""The sweeper's table as a pure function."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from domain.delivery import DeliveryStatus
from domain.lanes import Channel, Lane, Priority
from tracking.outbox import WATCH_S
from tracking.sweep import Verdict, Watched, judge

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
S = DeliveryStatus


def _watched(
    status: DeliveryStatus,
    *,
    channel: Channel = Channel.EMAIL,
    crashes: int = 0,
    lease_s: float | None = None,
    due_in_s: float | None = None,
    is_over: bool = False,
) -> Watched:
    return Watched(
        id=uuid4(),
        envelope_id=uuid4(),
        tenant_id=uuid4(),
        lane=Lane(channel, Priority.NORMAL),
        status=status,
        attempt=1,
        crashes=crashes,
        lease_token=uuid4() if lease_s is not None else None,
        lease_until=NOW + timedelta(seconds=lease_s) if lease_s is not None else None,
        next_attempt_at=NOW + timedelta(seconds=due_in_s) if due_in_s is not None else None,
        provider=None,
        category="orders",
        template=None,
        template_version=0,
        is_over=is_over,
    )


def _verdict(one: Watched, *, age_s: float = 60, is_drained: bool = False, retries: bool = True) -> Verdict:
    published_at = NOW - timedelta(seconds=age_s)
    return judge(one, now=NOW, published_at=published_at, is_drained=is_drained, retries=retries)[0]


@pytest.mark.parametrize(
    ("one", "retries", "verdict"),
    [
        (_watched(S.SENDING, lease_s=1), True, Verdict.WAIT),
        (_watched(S.SENDING, lease_s=1, is_over=True), True, Verdict.WAIT),
        (_watched(S.SENDING, lease_s=-1), True, Verdict.AGAIN),
        (_watched(S.SENDING, lease_s=-1), False, Verdict.HOLD),
        (_watched(S.SENDING, lease_s=-1, channel=Channel.PUSH), False, Verdict.AGAIN),
        (_watched(S.SENDING, lease_s=-1, crashes=1), True, Verdict.AGAIN),
        (_watched(S.SENDING, lease_s=-1, crashes=2), True, Verdict.BURY),
        (_watched(S.SENDING, lease_s=-1, crashes=2), False, Verdict.BURY),
        (_watched(S.SENDING, lease_s=-1, crashes=2, channel=Channel.PUSH), False, Verdict.BURY),
    ],
)
def test_what_becomes_of_an_attempt_under_way(one: Watched, retries: bool, verdict: Verdict) -> None:
    assert _verdict(one, retries=retries) is verdict


@pytest.mark.parametrize(
    ("one", "age_s", "is_drained", "verdict"),
    [
        (_watched(S.QUEUED), 60, False, Verdict.WAIT),
        (_watched(S.QUEUED), 60, True, Verdict.AGAIN),
        (_watched(S.QUEUED), 601, False, Verdict.AGAIN),
        (_watched(S.QUEUED, is_over=True), 60, False, Verdict.END),
        (_watched(S.RESTING, due_in_s=60), 6000, True, Verdict.WAIT),
        (_watched(S.RESTING, due_in_s=1 - WATCH_S), 6000, True, Verdict.WAIT),
        (_watched(S.RESTING, due_in_s=-WATCH_S), 60, True, Verdict.AGAIN),
        (_watched(S.RESTING, due_in_s=-WATCH_S), 60, False, Verdict.WAIT),
        (_watched(S.RESTING, due_in_s=-WATCH_S), 601, False, Verdict.AGAIN),
        (_watched(S.RESTING, due_in_s=60, is_over=True), 60, False, Verdict.END),
        (_watched(S.DEFERRED, due_in_s=60), 60, True, Verdict.WAIT),
        (_watched(S.DEFERRED, due_in_s=-WATCH_S), 60, True, Verdict.AGAIN),
    ],
)
def test_what_becomes_of_what_waits(one: Watched, age_s: float, is_drained: bool, verdict: Verdict) -> None:
    assert _verdict(one, age_s=age_s, is_drained=is_drained) is verdict


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        (_watched(S.SENT, due_in_s=15, channel=Channel.PUSH), Verdict.WAIT),
        (_watched(S.SENT, due_in_s=15, channel=Channel.PUSH, is_over=True), Verdict.WAIT),
        (_watched(S.SENT, due_in_s=-1, channel=Channel.PUSH), Verdict.AGAIN),
        (_watched(S.SENT, due_in_s=-1, channel=Channel.PUSH, is_over=True), Verdict.END),
    ],
)
def test_what_becomes_of_what_waits_for_its_acknowledgement(one: Watched, verdict: Verdict) -> None:
    assert _verdict(one) is verdict


def test_a_running_lease_is_looked_at_right_after_its_end() -> None:
    one = _watched(S.SENDING, lease_s=20)

    _, at = judge(one, now=NOW, published_at=NOW, is_drained=True, retries=True)

    assert timedelta(seconds=20) < at - NOW < timedelta(seconds=25)
