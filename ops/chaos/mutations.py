"""The scene that doubts the tests: each safeguard is taken out of a copy of the tree, and its tests must turn red."""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ops.chaos.asked import Asked
from ops.chaos.verdict import Verdict
from ops.stack.accounts import data_folder
from ops.stack.choice import choose, prepare
from ops.stack.parts import Part, StackChoice, Way

_ROOT = Path(__file__).resolve().parents[2]
_LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".data", "__pycache__", ".*_cache")
_TEST_VARIABLES = {
    Part.POSTGRES: "CARILLON_TEST_DATABASE_URL",
    Part.REDIS: "CARILLON_TEST_REDIS_URL",
    Part.RABBITMQ: "CARILLON_TEST_AMQP_URL",
}
_GREEN, _RED = 0, 1


@dataclass(frozen=True, slots=True)
class Change:
    """What stands once in a file, and what is written in its place."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutation:
    """A safeguard, how it is taken out, and the tests that are meant to hold it."""

    without: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        "SKIP LOCKED of the relay",
        (
            Change(
                "tracking/outbox.py",
                "ORDER BY o.available_at LIMIT k.envelopes FOR UPDATE OF o SKIP LOCKED",
                "ORDER BY o.available_at LIMIT k.envelopes",
            ),
        ),
        ("tests/integration/tracking/test_outbox.py",),
    ),
    Mutation(
        "the fence of an end",
        (
            Change(
                "tracking/finish.py",
                "WHERE d.id = k.id AND d.lease_token = k.token\n  RETURNING d.id, d.status",
                "WHERE d.id = k.id\n  RETURNING d.id, d.status",
            ),
            Change("tracking/finish.py", "WHERE d.lease_token = k.token ORDER BY", "WHERE true ORDER BY"),
        ),
        ("tests/integration/tracking/test_finish.py",),
    ),
    Mutation(
        "the fence of what was sent",
        (Change("tracking/sent.py", "WHERE d.id = k.id AND d.lease_token = k.token\n", "WHERE d.id = k.id\n"),),
        ("tests/integration/tracking/test_sent.py",),
    ),
    Mutation(
        "the rank of receipts, and the moves that are legal, which keep it too",
        (
            Change("tracking/receipts.py", " AND (<RANKS>)[k.status] > (<RANKS>)[d.status]", ""),
            Change(
                "tracking/receipts.py",
                "AND (d.status * 16 + k.status) = ANY($10::int[])",
                "AND $10::int[] IS NOT NULL",
            ),
        ),
        ("tests/integration/tracking/test_receipts.py",),
    ),
    Mutation(
        "the rank of an end",
        (Change("tracking/finish.py", "WHEN (<RANKS>)[d.status] >= (<RANKS>)[k.status] THEN d.status", ""),),
        ("tests/integration/tracking/test_finish.py",),
    ),
    Mutation(
        "the look at what comes back unroutable",
        (
            Change(
                "plumbing/broker/unconfirmed.py", "is_confirmed=is_there and not is_returned", "is_confirmed=is_there"
            ),
        ),
        ("tests/unit/broker", "tests/contracts/test_amqp_plumbing.py"),
    ),
    Mutation(
        "the locks of keys",
        (
            Change("tracking/once.py", " WHERE pg_try_advisory_xact_lock(u.half)", ""),
            Change("tracking/quick.py", " WHERE pg_try_advisory_xact_lock(k.half)", ""),
        ),
        ("tests/integration/tracking/test_once.py",),
    ),
    Mutation(
        "at-least-once dead-lettering",
        (
            Change(
                "plumbing/broker/topology.py",
                '"dead_letter_strategy": "at-least-once"',
                '"dead_letter_strategy": "at-most-once"',
            ),
        ),
        ("tests/house/test_topology.py",),
    ),
    Mutation(
        "the refusal of suspects",
        (Change("tracking/claim.py", "AND d.crashes < $5\n", "AND $5::int > 0\n"),),
        ("tests/integration/tracking/test_claim.py",),
    ),
    Mutation(
        "the epoch of the leader",
        (Change("tracking/leader.py", "name = $1 AND epoch = $2 AND until > now()", "name = $1 AND $2::bigint > 0"),),
        ("tests/integration/workers/test_leading.py", "tests/integration/tracking/test_history.py"),
    ),
)


async def play(asked: Asked) -> Verdict:
    """Ask the tests of the tree as it is, then each mutation's tests of the mutated one."""
    verdict = Verdict("mutations", asked.seed)
    began_s = time.monotonic()
    async with _servers(asked.stack) as urls, _copy() as tree:
        every = tuple(dict.fromkeys(test for mutation in MUTATIONS for test in mutation.tests))
        code, words = await _ask(tree, every, urls)
        verdict.expect("the tree as it is: green", code == _GREEN, words)
        for mutation in MUTATIONS:
            with _mutated(tree, mutation.changes):
                code, words = await _ask(tree, mutation.tests, urls)
            verdict.expect(f"without {mutation.without}: red", code == _RED, words)
            asked.say(f"without {mutation.without}: {words}")
    verdict.figures["took_s"] = round(time.monotonic() - began_s, 1)
    return verdict


@asynccontextmanager
async def _servers(stack: StackChoice) -> AsyncIterator[dict[str, str]]:
    """Three servers for all runs, and the variables that name them to the tests."""
    ways = choose(stack, {})
    folder = data_folder(Path(tempfile.mkdtemp(prefix="carillon-mutations-")))
    with ExitStack() as until_the_end:
        until_the_end.callback(shutil.rmtree, folder, ignore_errors=True)
        urls = {}
        for part in Part:
            server = await asyncio.to_thread(prepare, part, Way(ways[part]), folder / part, url=None, durable=False)
            server.start()
            until_the_end.callback(server.stop)
            await asyncio.to_thread(server.await_ready)
            urls[_TEST_VARIABLES[part]] = server.url
        yield urls


@asynccontextmanager
async def _copy() -> AsyncIterator[Path]:
    """A copy of the tree to be mutated; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="carillon-mutants-"))
    try:
        yield Path(await asyncio.to_thread(shutil.copytree, _ROOT, folder / "tree", ignore=_LEFT_OUT))
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


@contextmanager
def _mutated(tree: Path, changes: tuple[Change, ...]) -> Iterator[None]:
    """Files changed while the block lasts. ValueError when what should be taken out is not there, or there twice."""
    before: dict[Path, str] = {}
    try:
        for change in changes:
            path = tree / change.path
            text = path.read_text()
            before.setdefault(path, text)
            if text.count(change.old) != 1:
                raise ValueError(f"{change.path} has {change.old!r} {text.count(change.old)} times, and not once")
            path.write_text(text.replace(change.old, change.new))
        yield
    finally:
        for path, text in before.items():
            path.write_text(text)


async def _ask(tree: Path, tests: tuple[str, ...], urls: Mapping[str, str]) -> tuple[int, str]:
    """Run these tests in `tree`: pytest's exit code, and its last line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *tests,
        cwd=tree,
        env={**os.environ, **urls, "PYTHONPATH": str(tree)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    lines = said.decode().strip().splitlines()
    return process.returncode or 0, lines[-1] if lines else ""
