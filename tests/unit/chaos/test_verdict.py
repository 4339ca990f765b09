"""A verdict is good only when nothing was found and every goal was met, and says so in one line and an exit code."""

import json

import pytest

from ops.chaos.checker import Finding
from ops.chaos.verdict import Verdict


def test_a_good_verdict_is_a_line_and_zero() -> None:
    verdict = Verdict("everything", 7, figures={"requests": 10})
    verdict.expect("in time", is_met=True, measured=3.5)
    verdict.note(Finding.LOST, [])

    line = json.loads(verdict.line())

    assert verdict.exit_code == 0
    assert (line["scene"], line["seed"], line["verdict"]) == ("everything", 7, "pass")
    assert {line[finding] for finding in Finding} == {0}
    assert (line["figures"], line["goals"]) == ({"requests": 10}, {"in time": [True, 3.5]})


@pytest.mark.parametrize("finding", Finding)
def test_any_finding_fails_a_run(finding: Finding) -> None:
    verdict = Verdict("everything", 7)
    verdict.note(finding, ["one"])

    assert (verdict.exit_code, json.loads(verdict.line())[finding]) == (1, 1)


def test_a_missed_goal_fails_a_run() -> None:
    verdict = Verdict("everything", 7)
    verdict.expect("in time", is_met=False, measured=121.0)

    assert (verdict.exit_code, json.loads(verdict.line())["verdict"]) == (1, "fail")
