"""A backup of PostgreSQL, taken while work is queued, comes back into an empty stack: what is sent then, how often."""

import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.clock import rfc3339, utc_now
from ops.chaos.reading import settle
from ops.simulated.ledger import LedgerReader
from ops.stack.database import connected, create_database, drop_database, sibling_url
from ops.stack.postgres import find_postgres
from tests.journey.running import Up
from tests.journey.sends import Sends

BEFORE, QUEUED, LATER = 60, 50, 10
LATER_S = 15
WITHIN_S = 90.0


@pytest.fixture
async def databases(postgres_url: str) -> AsyncIterator[tuple[str, str]]:
    """One for the platform, and an empty one for what was saved."""
    names = [f"restore_{which}_{os.getpid()}" for which in ("old", "new")]
    for name in names:
        await create_database(postgres_url, name)
    old, new = (sibling_url(postgres_url, name) for name in names)
    yield old, new
    for name in names:
        await drop_database(postgres_url, name)


@pytest.mark.alone
async def test_what_was_queued_in_a_backup_is_sent_again_and_what_had_ended_is_not(
    databases: tuple[str, str], redis_url: str, amqp_url: str, tmp_path: Path
) -> None:
    binaries = find_postgres()
    if binaries is None or not (binaries / "pg_dump").exists():
        pytest.skip("there is no pg_dump on this machine")
    old, new = databases
    more = {"CARILLON_DATABASE_URL": old, "CARILLON_REDIS_URL": redis_url, "CARILLON_AMQP_URL": amqp_url}
    first = Up.start(tmp_path / "old", tmp_path / "old.log", stack="auto", more=more)
    try:
        run = first.await_healthy()
        ended, saved = await _work_and_save(run, binaries, old, tmp_path / "saved.sql")
    finally:
        first.stop()
    _run(binaries / "psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", new, "-f", str(tmp_path / "saved.sql"))
    (tmp_path / "new").mkdir()
    shutil.copy(tmp_path / "old" / "keys.json", tmp_path / "new" / "keys.json")

    second = Up.start(tmp_path / "new", tmp_path / "new.log", stack="auto", more={"CARILLON_DATABASE_URL": new})
    try:
        second.await_healthy()
        is_over, statuses = await settle(new, within_s=WITHIN_S)
        async with connected(new) as conn:
            known = {row["id"] for row in await conn.fetch("SELECT id FROM notifications")}
    finally:
        second.stop()

    again = LedgerReader.read(tmp_path / "new" / "ledger.jsonl").taken()
    assert is_over, (statuses, second.said())
    assert saved <= known
    assert len(again) == QUEUED + LATER
    assert set(again.values()) == {1}
    assert not set(again) & ended
    taken_before = LedgerReader.read(tmp_path / "old" / "ledger.jsonl").taken()
    assert set(again) <= set(taken_before), "the old platform went on after the backup: these are sent twice"


async def _work_and_save(run: dict[str, Any], binaries: Path, url: str, path: Path) -> tuple[set[str], set[Any]]:
    """Let some of it end, stop the workers, accept more, save, and go on: the deliveries that had ended by then, and
    the notifications that wait in the backup."""
    ledger = Path(run["simulated"]["ledger"])
    sends = Sends(run["api_url"], run["api_key"])
    await sends.send_all([_mail(n) for n in range(BEFORE)], per_s=200, name="before")
    await settle(url, within_s=WITHIN_S)
    ended = set(LedgerReader.read(ledger).taken())
    assert len(ended) == BEFORE
    workers = [pid for name, pid in run["pids"].items() if name.startswith("worker")]
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        waiting = Sends(run["api_url"], run["api_key"])
        send_at = rfc3339(utc_now() + timedelta(seconds=LATER_S))
        await waiting.send_all([_mail(n) for n in range(QUEUED)], per_s=200, name="queued")
        await waiting.send_all([_mail(n) | {"send_at": send_at} for n in range(LATER)], per_s=200, name="later")
        _run(binaries / "pg_dump", "--no-owner", "-d", url, "-f", str(path))
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    await settle(url, within_s=WITHIN_S)
    return ended, set(waiting.accepted.values())


def _mail(n: int) -> dict[str, Any]:
    return {"to": {"email": f"ok{n}@example.org"}, "content": {"title": "Hello", "body": f"number {n}"}}


def _run(program: Path, *words: str) -> None:
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
