"""`carillon up` as a person meets it: quick, one per folder, restarting what dies, leaving nothing behind."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ops.stack.accounts import data_folder
from ops.stack.guardian import is_alive
from tests.journey.running import Up, ask, wait_until

ROLES = ("api-1", "worker-1", "scheduler-1", "gateway-1", "door-1")
WARM_S = 60.0
"""5 s on a quiet machine; the tests share theirs."""


@pytest.fixture(scope="module")
def folder(server_folder: Path) -> Path:
    """The data folder that the tests of this file share, so that only the first start is cold."""
    return data_folder(server_folder / "up")


@pytest.fixture
def start(folder: Path, tmp_path: Path) -> "Iterator[Callable[[], Up]]":
    """Starts an `up`; whatever the test did, it is gone afterwards."""
    started: list[Up] = []

    def start() -> Up:
        started.append(Up.start(folder, tmp_path / f"up-{len(started)}.txt", stack="embedded"))
        return started[-1]

    yield start
    for up in started:
        up.stop()


def test_a_killed_role_is_restarted_a_second_up_finds_the_first_and_ctrl_c_leaves_nothing(
    start: "Callable[[], Up]", folder: Path
) -> None:
    up = start()
    run = up.await_healthy()
    assert (folder / "run.json").stat().st_mode & 0o777 == 0o600
    assert run["stack"] == {"postgres": "embedded", "redis": "embedded", "rabbitmq": "embedded"}
    assert set(ROLES) < set(run["pids"])
    assert set(run["metrics_urls"]) == set(ROLES)
    assert run["gateway_url"].startswith("ws://127.0.0.1:")
    assert run["provider_url"].startswith("https://127.0.0.1:")
    assert run["app_key"].startswith("cn_app_")

    second = ask("up", folder=folder)
    assert second.returncode == 1
    assert run["api_url"] in second.stderr

    os.kill(run["pids"]["worker-1"], signal.SIGKILL)
    wait_until(lambda: up.run["pids"].get("worker-1") not in (None, run["pids"]["worker-1"]), 60, up.said)
    wait_until(lambda: "worker-1 runs again" in up.said(), 60, up.said)
    pids = up.run["pids"]

    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(20) == 0, up.said()
    assert not (folder / "run.json").exists()
    assert [name for name, pid in pids.items() if is_alive(pid)] == []


def test_a_warm_start_is_quick_and_kill_minus_nine_leaves_only_a_file_that_deceives_nobody(
    start: "Callable[[], Up]", folder: Path
) -> None:
    began = time.monotonic()
    up = start()
    pids = up.await_healthy()["pids"]
    assert time.monotonic() - began < WARM_S, up.said()

    up.process.kill()
    up.process.wait()

    wait_until(lambda: not any(is_alive(pid) for pid in pids.values()), 30, lambda: f"still alive of {pids}")
    assert (folder / "run.json").exists()
    told = ask("ps", folder=folder)
    assert told.returncode == 2
    assert "nothing runs here" in told.stderr


def test_a_port_that_was_asked_for_and_is_taken_is_one_clear_line(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        told = ask("up", "--stack", "embedded", "--port", str(port), folder=folder)

    assert_one_line(told, f"port {port} of 127.0.0.1 is in use")


@pytest.mark.parametrize(
    ("variable", "url", "words"),
    [
        ("CARILLON_DATABASE_URL", "postgresql://a:secret@127.0.0.1:9/x", "PostgreSQL does not answer at 127.0.0.1:9/x"),
        ("CARILLON_REDIS_URL", "redis://:secret@127.0.0.1:9/0", "Redis cannot be used at 127.0.0.1:9"),
        ("CARILLON_AMQP_URL", "amqp://a:secret@127.0.0.1:9/", "RabbitMQ cannot be used at 127.0.0.1:9"),
    ],
)
def test_a_wrong_url_is_one_clear_line_without_its_password(variable: str, url: str, words: str, folder: Path) -> None:

    told = ask("up", "--stack", "auto", folder=folder, more={variable: url})

    assert_one_line(told, words)
    assert "secret" not in told.stderr
    assert variable in told.stderr


def test_a_url_stack_without_urls_names_what_is_missing(folder: Path) -> None:
    told = ask("up", "--stack", "url", folder=folder)

    assert_one_line(told, "CARILLON_DATABASE_URL, CARILLON_REDIS_URL, CARILLON_AMQP_URL")


def test_an_env_file_that_cannot_be_read_is_one_clear_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"CARILLON_EMAIL_FROM=\xff\xfe\n")

    told = ask("ps", folder=folder, cwd=tmp_path)

    assert_one_line(told, str(tmp_path / ".env"))


def assert_one_line(told: "subprocess.CompletedProcess[str]", words: str) -> None:
    """Exit 2, and one last line that holds `words` and no traceback."""
    assert told.returncode == 2, told.stdout + told.stderr
    assert words in told.stderr.strip().splitlines()[-1]
    assert "Traceback" not in told.stderr
