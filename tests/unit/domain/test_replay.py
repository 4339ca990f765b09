"""How a stage of a replay went: any failure is one, nothing said is not a success."""

import pytest

from domain.delivery import DeliveryStatus
from domain.replay import RunStatus, StageVerdict, stage_verdict

S = DeliveryStatus


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ([S.SENT], StageVerdict.PASSED),
        ([S.STORED, S.DELIVERED, S.COLLAPSED], StageVerdict.PASSED),
        ([S.SENT, S.SUPPRESSED, S.DEFERRED], StageVerdict.PASSED),
        ([S.SENT, S.QUEUED], StageVerdict.WAIT),
        ([S.SENDING], StageVerdict.WAIT),
        ([S.SENT, S.SENDING, S.FAILED], StageVerdict.FAILED),
        ([S.RESTING, S.QUEUED], StageVerdict.FAILED),
        ([S.SUPPRESSED, S.EXPIRED, S.CANCELLED, S.DEFERRED], StageVerdict.SAID_NOTHING),
        ([], StageVerdict.SAID_NOTHING),
    ],
)
def test_the_verdict_on_a_stage(statuses: list[DeliveryStatus], verdict: StageVerdict) -> None:
    assert stage_verdict(statuses) is verdict


def test_every_status_is_judged() -> None:
    for status in S:
        stage_verdict([status])
    assert [status for status in RunStatus if not status.is_over] == [RunStatus.CANARY, RunStatus.TEN, RunStatus.REST]
