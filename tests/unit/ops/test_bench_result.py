"""A result can be read by people and by machines, and says what it did not do."""

import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from ops.bench.accounting import ORDER
from ops.bench.noise import Noise
from ops.bench.peer import Wish
from ops.bench.result import Result
from ops.bench.rounds import Round
from ops.bench.sending import Phase, SendFigures
from ops.bench.tables import shortfalls, show_sending, written

QUIET = Noise(5.0, 5.1, 6.0, 0.1, 1.0)


def figures() -> SendFigures:
    cut = Round(wanted=10, accepted=7, unasked=2, unanswered=1, door_per_s=3.5, p50_ms=1.5, is_cut=True)
    cut.statuses = {"delivered": 7}
    cpu = {**dict.fromkeys(ORDER, 1.0), "sum": 8.0}
    phase = Phase("300/s", QUIET, Wish(10, per_s=300), cut, cpu, calls="main;send 3\n")
    return SendFigures({"PostgreSQL": "15.1"}, [phase], dict.fromkeys(ORDER, 0.5))


def test_a_document_says_what_ran_how_quiet_it_was_and_what_is_missing() -> None:
    ours = figures()
    result = Result("latency", {"phases": {}}, ours.versions, {"phases": ours.phases}, lambda _: None)

    document = json.loads(json.dumps(result.document(), allow_nan=False))

    assert document["scenario"] == "latency"
    assert document["versions"] == {"PostgreSQL": "15.1"}
    assert document["machine"]["cores"] > 0
    (phase,) = document["figures"]["phases"]
    assert phase["noise"]["median_ms"] == 5.1
    assert (phase["round"]["p50_ms"], phase["round"]["p99_ms"]) == (1.5, None)


def test_a_table_shows_figures_account_and_shortfalls(capsys: pytest.CaptureFixture[str]) -> None:
    show_sending(Console(width=120, highlight=False), figures())

    page = capsys.readouterr().out
    for words in ("300/s", "7 delivered", "none", "5.0 / 5.1 / 6.0 ms", "cut by its deadline: 2 of 10", "PostgreSQL"):
        assert words in page


def test_a_phase_that_did_everything_has_no_shortfall() -> None:
    assert shortfalls(Round(wanted=3, accepted=3)) == []
    assert math.isnan(Round().p50_ms)


def test_calls_are_written_for_people_and_for_programs(tmp_path: Path) -> None:
    paths = written(figures(), "api", tmp_path)

    assert [path.name for path in paths] == ["calls-api-300-per-s.folded", "calls-api-300-per-s.txt"]
    assert paths[0].read_text() == "main;send 3\n"
    assert "send" in paths[1].read_text()
