"""The folder of the local stack: keys made once, one `up` at a time, and a run file that cannot deceive."""

import json
import os
import time
from pathlib import Path

import pytest

from domain.errors import Misconfigured
from ops.stack.home import Home, Run, start_time


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An opened folder."""
    home = Home(tmp_path / "data")
    home.open()
    return home


def run_of(pid: int) -> Run:
    """A run whose `up` is `pid`."""
    return Run("http://here", None, None, {}, "live", "test", None, {}, "", "", "", pids={"up": pid})


def test_keys_are_made_once_and_readable_by_their_owner_only(home: Home) -> None:
    keys = home.keys()

    assert home.keys() == keys
    assert keys.api_key.startswith("cn_live_")
    assert (home.folder / "keys.json").stat().st_mode & 0o777 == 0o600


def test_keys_that_were_there_stay_when_newer_ones_are_added(home: Home) -> None:
    (home.folder / "keys.json").write_text(json.dumps({"api_key": "cn_live_mine"}))

    assert home.keys().api_key == "cn_live_mine"
    assert len(home.keys().secret_key) >= 32


def test_a_run_is_found_while_its_up_lives(home: Home) -> None:
    home.write_run(run_of(os.getpid()))

    found = home.read_run()

    assert found is not None
    assert found.api_url == "http://here"
    assert home.run_file.stat().st_mode & 0o777 == 0o600


def test_a_run_of_a_process_that_is_gone_is_a_leftover(home: Home) -> None:
    home.write_run(run_of(2**22 + 1))

    assert home.read_run() is None


def test_a_run_whose_pid_belongs_to_a_later_process_is_a_leftover(home: Home) -> None:
    home.write_run(run_of(os.getpid()))
    started_at = start_time(os.getpid())
    assert started_at is not None
    os.utime(home.run_file, (started_at - 60, started_at - 60))

    assert home.read_run() is None


def test_our_own_start_time_is_in_the_past_and_not_long_ago() -> None:
    started_at = start_time(os.getpid())

    assert started_at is not None
    assert time.time() - 24 * 3600 < started_at <= time.time() + 1


def test_only_one_up_may_have_a_folder(home: Home) -> None:
    first = home.claim()
    assert first is not None

    assert home.claim() is None

    os.close(first)
    second = home.claim()
    assert second is not None
    os.close(second)


def test_a_damaged_file_is_one_clear_line(home: Home) -> None:
    (home.folder / "keys.json").write_text("{")

    with pytest.raises(Misconfigured, match=r"keys\.json cannot be read"):
        home.keys()
