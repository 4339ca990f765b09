"""What is logged: one line, and never a secret or an address, whoever wrote it there."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from plumbing.log import configure, hide_secrets
from plumbing.settings import Settings

KEY = "cn_live_" + "A" * 43
TOKEN = "5a8ea919" * 8
SIGNING = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = before, level


@pytest.mark.parametrize(
    "text",
    [
        f"key {KEY} is wrong",
        f"header Bearer {KEY}",
        "cannot reach postgresql://carillon:hunter2@db/carillon",
        "550 <ada@example.org> unknown",
        "number +33612345678 is unknown",
        f"no device {TOKEN} here",
        f"secret {SIGNING} is wrong",
    ],
)
def test_secrets_and_addresses_are_taken_out_of_any_text(text: str) -> None:
    hidden = hide_secrets(None, "info", {"detail": text})["detail"]

    assert "[hidden]" in hidden
    assert not any(secret in hidden for secret in (KEY, "hunter2", "ada@example.org", "+33612345678", TOKEN, SIGNING))


def test_the_few_letters_by_which_a_key_is_called_may_stand() -> None:
    assert hide_secrets(None, "info", {"key": KEY[:12]}) == {"key": KEY[:12]}


def test_half_a_surrogate_pair_loses_no_line(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    configure(Settings(_env_file=None), "api")

    structlog.get_logger().info("request.failed", exception="fault at /\ud800", status=500)

    assert json.loads(capsysbinary.readouterr().out)["exception"] == "fault at /?"


def test_secrets_are_taken_out_of_what_is_no_text_too(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    configure(Settings(_env_file=None), "api")

    structlog.get_logger().warning("something.failed", error=ValueError("ada@example.org is wrong"))

    assert json.loads(capsysbinary.readouterr().out)["error"] == "[hidden] is wrong"


@pytest.mark.parametrize("name", ["email", "phone", "authorization", "token", "body", "data"])
def test_fields_that_hold_secrets_are_never_written(name: str) -> None:
    assert hide_secrets(None, "info", {name: {"any": "thing"}}) == {name: "[hidden]"}


def test_an_event_is_one_line_of_json_with_its_role(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    configure(Settings(_env_file=None), "api")

    structlog.get_logger().info("request.answered", status=200, route="/a\nb")

    line = capsysbinary.readouterr().out
    assert line.count(b"\n") == 1
    assert json.loads(line)["event"] == "request.answered"
    assert json.loads(line)["role"] == "api"


def test_what_libraries_say_joins_the_stream(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    configure(Settings(_env_file=None), "api")

    logging.getLogger("library").warning("lost %s", "ada@example.org")

    told = json.loads(capsysbinary.readouterr().out)
    assert (told["logger"], told["detail"]) == ("library", "lost [hidden]")


def test_what_is_below_the_level_is_not_written(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    configure(Settings(_env_file=None, log_level="warning"), "api")

    structlog.get_logger().info("request.answered")

    assert capsysbinary.readouterr().out == b""


@pytest.mark.parametrize(
    "text",
    [
        '550 no\n{"level": "info", "event": "all.well"}',
        "\x1b[2J\x1b[31mred\x1b[0m",
        "a\r\nb\u2028c\x85d",
        "\x00\x07\x9b",
    ],
)
def test_what_a_provider_said_stays_within_its_line(capsysbinary: pytest.CaptureFixture[bytes], text: str) -> None:
    configure(Settings(_env_file=None), "worker")

    structlog.get_logger().warning("delivery.failed", error=text, answer=ValueError(text))

    written = capsysbinary.readouterr().out
    assert json.loads(written)["error"] == text
    assert written.count(b"\n") == 1
    assert written.endswith(b"\n")
    assert b"\x1b" not in written
