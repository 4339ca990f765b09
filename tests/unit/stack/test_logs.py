"""What the console of `up` shows of the role logs."""

from pathlib import Path

from ops.stack.logs import Follower, as_error
from ops.stack.programs import last_words


def test_only_errors_reach_the_console() -> None:
    assert as_error('{"level": "info", "event": "delivery.sent"}') is None
    assert as_error('{"level": "error", "event": "relay.failed", "error": "no broker"}') == (
        "relay.failed error=no broker"
    )
    assert as_error("carillon: CARILLON_DATABASE_URL is not set") == "carillon: CARILLON_DATABASE_URL is not set"
    assert as_error("just some words") is None
    assert as_error("{broken") is None


def test_a_follower_gives_whole_new_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "role.log"
    path.write_text("old\n")
    follower = Follower(path)
    assert follower.read() == []

    with path.open("a") as file:
        file.write("one\ntw")
        file.flush()
        assert follower.read() == ["one"]
        file.write("o\n")

    assert follower.read() == ["two"]


def test_a_follower_waits_for_a_log_that_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "role.log"
    follower = Follower(path)
    assert follower.read() == []

    path.write_text("first\n")

    assert follower.read() == ["first"]


def test_last_words_are_the_last_lines_on_one(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.write_text("one\n\ntwo\nthree\nfour\n")

    assert last_words(path) == "two | three | four"
    assert last_words(tmp_path / "missing") == ""
