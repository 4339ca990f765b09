"""Which API and key the shell's verbs use when none is named, and what they say when there is none."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ops.cli.main import app
from ops.stack.home import Home, Run

FOREIGN = "https://carillon.example.org"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, and nothing set from outside."""
    for name in ("CARILLON_URL", "CARILLON_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CARILLON_DATA_PATH", str(tmp_path))
    return tmp_path


def test_where_nothing_runs_one_line_says_where_it_was_looked_for_and_what_to_do(folder: Path) -> None:
    answer = CliRunner().invoke(app, ["send", "--to", "user-42", "--title", "Hello"])

    assert answer.exit_code == 2
    assert answer.output.splitlines() == [
        f"carillon: nothing runs here (looked in {folder / 'run.json'}) and neither --url nor CARILLON_URL is set: "
        "`carillon up` starts it"
    ]


def test_a_key_of_here_is_never_sent_to_another_place(folder: Path) -> None:
    _something_runs(folder)

    answer = CliRunner().invoke(app, ["status", "1", "--url", FOREIGN])

    assert answer.exit_code == 2
    assert f"which key for {FOREIGN}?" in answer.output
    assert "cn_live_here" not in answer.output


@pytest.mark.parametrize("priority", ["urgent", "HIGH"])
def test_an_unknown_priority_is_refused_before_anything_is_asked(priority: str) -> None:
    answer = CliRunner().invoke(app, ["send", "--to", "user-42", "--priority", priority])

    assert answer.exit_code == 2
    assert "priority" in answer.output


@pytest.mark.parametrize("words", [[], ["--user", "user-42"], ["1", "--user", "user-42", "--template", "welcome"]])
def test_explain_wants_an_id_or_a_user_and_a_template(words: list[str]) -> None:
    answer = CliRunner().invoke(app, ["explain", *words, "--url", "http://127.0.0.1:1", "--key", "cn_live_x"])

    assert answer.exit_code == 2
    assert "give the ID of a notification, or --user and --template" in answer.output


def _something_runs(folder: Path) -> None:
    run = Run(
        api_url="http://127.0.0.1:1",
        gateway_url=None,
        provider_url=None,
        metrics_urls={},
        api_key="cn_live_here",
        test_key="cn_test_here",
        app_key=None,
        stack={},
        database_url="",
        redis_url="",
        amqp_url="",
        pids={"up": os.getpid()},
    )
    Home(folder).write_run(run)
