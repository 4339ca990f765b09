"""Ratios are taken within a round; and without the environment of the peers there is one clear line."""

import json
import math
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from domain.errors import Misconfigured
from ops.bench.compare import Comparison, Lap, Spread, show
from ops.bench.noise import Noise
from ops.bench.peer import Wish
from ops.bench.peers import environment
from ops.bench.peers.crew import Recipe
from ops.bench.peers.side import RECIPES
from ops.bench.result import plain
from ops.bench.rounds import Round
from ops.cli.main import app

QUIET = Noise(5.0, 6.0, 7.0, 0.0, 1.0)
SIDES = ("Carillon", "slow", "slower")


def comparison(*rates: tuple[str, int, float]) -> Comparison:
    made = Comparison(SIDES, Wish(1000))
    made.laps = [Lap(side, number, QUIET, Round(final_per_s=per_s)) for side, number, per_s in rates]
    return made


def test_a_ratio_compares_what_was_measured_in_the_same_round() -> None:
    made = comparison(
        *(("Carillon", 1, 1000.0), ("slow", 1, 100.0)),
        *(("Carillon", 2, 500.0), ("slow", 2, 25.0)),
        *(("Carillon", 3, 900.0), ("slow", 3, 60.0)),
    )

    assert made.ratio("slow") == Spread(15.0, 10.0, 20.0)
    assert made.rate("slow") == Spread(60.0, 25.0, 100.0)


def test_a_round_that_a_side_did_not_finish_gives_no_ratio() -> None:
    made = comparison(("Carillon", 1, 1000.0), ("slow", 1, math.nan), ("Carillon", 2, 900.0), ("slow", 2, 90.0))

    assert made.ratio("slow") == Spread(10.0, 10.0, 10.0)
    assert math.isnan(made.ratio("slower").median)


def test_people_and_machines_can_read_it(tmp_path: Path) -> None:
    made = comparison(("Carillon", 1, 1000.0), ("slow", 1, 80.0))
    page = Console(file=(tmp_path / "page.txt").open("w"), width=140)

    show(page, made)
    page.file.close()

    words = (tmp_path / "page.txt").read_text()
    assert "12.5x" in words
    assert "1,000" in words
    document = json.loads(json.dumps(plain(made.document()), allow_nan=False))
    assert document["ratios"]["slow"]["median"] == 12.5
    assert document["ratios"]["slower"]["median"] is None


def test_a_scenario_that_peers_cannot_do_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    answer = CliRunner().invoke(app, ["bench", "gateway", "--compare"])

    assert answer.exit_code == 2
    assert "the peers can do single and bulk, not gateway" in answer.output + capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gateway", "--stack", "embedded"), "with single, bulk, latency"),
        (("single", "--stack", "url"), "a benchmark has servers of its own"),
        (("single", "--stack", "embedded", "--compare"), "the peers know real servers only"),
    ],
)
def test_servers_that_a_scenario_cannot_have_are_refused(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = CliRunner().invoke(app, ["bench", *arguments])

    assert answer.exit_code == 2
    assert words in answer.output + capsys.readouterr().err


def test_what_cannot_be_installed_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "bench.txt"
    lock.write_text("celery==5.7.0 --hash=sha256:" + "0" * 64 + "\n")
    for name, value in (("NO_INDEX", "1"), ("FIND_LINKS", ""), ("CONFIG_FILE", "/dev/null"), ("EXTRA_INDEX_URL", "")):
        monkeypatch.setenv(f"PIP_{name}", value)
    said: list[str] = []

    with pytest.raises(Misconfigured, match="what is compared cannot be installed") as caught:
        environment.environment(said.append, folder=tmp_path / "venv", lock=lock)

    assert "\n" not in str(caught.value)
    assert ["installing" in line for line in said] == [True]


def test_an_environment_that_equals_its_lock_is_not_made_again(tmp_path: Path) -> None:
    lock = tmp_path / "bench.txt"
    lock.write_text("")
    folder = tmp_path / "venv"
    said: list[str] = []

    python = environment.environment(said.append, folder=folder, lock=lock)
    assert python.exists()
    (folder / "still-there").touch()
    environment.environment(said.append, folder=folder, lock=lock)
    assert (folder / "still-there").exists()
    assert len(said) == 1

    lock.write_text("# another\n")
    environment.environment(said.append, folder=folder, lock=lock)
    assert not (folder / "still-there").exists()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_the_lock_has_what_a_peer_is_made_of_and_the_tests_do_without(recipe: Recipe) -> None:
    names = {line.split("==")[0] for line in environment.LOCK.read_text().splitlines() if "==" in line}
    tested = (environment.ROOT / "locks" / "test.txt").read_text()

    assert set(recipe.libraries) <= names
    assert "celery==" not in tested
    assert "taskiq==" not in tested
