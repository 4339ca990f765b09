"""The scenario `read`: how quickly the API answers who asks what became of notifications, when there are millions.

Asked as the largest tenant and as the smallest: what is quick for one that owns most rows may walk past all of them for
one that owns few.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import cycle, islice
from urllib.parse import urlencode

from rich.console import Console

from domain.clock import rfc3339, utc_now
from domain.ids import moment_of
from domain.notification import Mode
from ops.bench.accounting import per_notification_us, used_s
from ops.bench.filler import Filled, FilledTenant
from ops.bench.noise import Noise, listen
from ops.bench.platform_side import NotMeasurable
from ops.bench.posts import Post, Posted, post_all
from ops.bench.quantiles import quantile
from ops.bench.tables import ms, new_table, noise
from ops.stack.database import connected
from ops.stack.home import Run
from ops.stack.tenants import store_key
from plumbing.secrets import new_api_key

_PATH = "/api/v1/notifications"
_AT_ONCE = 2
_WARM_UP = 20
_OK = 200
_STEP = 997
"""A prime: neighbours among the samples are not asked for one after the other."""


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """How much is there, and how often each question is asked of it as each tenant."""

    rows: int = 5_000_000
    asked: int = 200


@dataclass(frozen=True, slots=True)
class Answers:
    """How long the answers to one question took; `items` is how many notifications came back on average."""

    question: str
    tenant: str
    asked: int
    items: float
    p50_ms: float
    p99_ms: float
    worst_ms: float
    api_us: float
    postgres_us: float
    """Processor time per answer: what it takes on a machine that has nothing else to do."""


@dataclass(frozen=True, slots=True)
class ReadFigures:
    """What was measured, and on how many rows that were made in how long."""

    noise: Noise
    notifications: int
    deliveries: int
    events: int
    filled_in_s: float
    answers: list[Answers] = field(default_factory=list)


_Pathmaker = Callable[[FilledTenant, int], str]


def _one(tenant: FilledTenant, number: int) -> str:
    return f"{_PATH}/{tenant.notifications[number * _STEP % len(tenant.notifications)]}"


def _list(**narrowed: str) -> _Pathmaker:
    return lambda _tenant, _number: _query(**narrowed)


def _query(**narrowed: str) -> str:
    return f"{_PATH}?{urlencode(narrowed)}"


def _busiest(tenant: FilledTenant, number: int) -> str:
    return _query(user=tenant.users[number % max(1, len(tenant.users) // 50)])


def _anybody(tenant: FilledTenant, number: int) -> str:
    return _query(user=tenant.users[number * _STEP % len(tenant.users)])


def _long_ago(tenant: FilledTenant, number: int, **narrowed: str) -> str:
    """What there was up to the moment of some notification."""
    at = moment_of(tenant.notifications[number * _STEP % len(tenant.notifications)])
    return _query(until=rfc3339(at), **narrowed)


def _in_an_hour(tenant: FilledTenant, number: int) -> str:
    at = moment_of(tenant.notifications[number * _STEP % len(tenant.notifications)])
    return _query(since=rfc3339(at - timedelta(hours=1)), until=rfc3339(at))


_QUESTIONS: tuple[tuple[str, _Pathmaker, bool], ...] = (
    ("get", _one, False),
    ("status", lambda tenant, number: f"{_one(tenant, number)}/status", False),
    ("explain", lambda tenant, number: f"{_one(tenant, number)}/explain", False),
    ("list, newest", _list(), False),
    ("list, newest, page after page", _long_ago, True),
    ("list, in one hour", _in_an_hour, False),
    ("list, of a busy user", _busiest, False),
    ("list, of any user", _anybody, False),
    ("list, of a busy user, second page", _busiest, True),
    ("list, category=orders", _list(category="orders"), False),
    ("list, channel=sms", _list(channel="sms"), False),
    ("list, status=delivered", _list(status="delivered"), False),
    ("list, status=queued (nobody)", _list(status="queued"), False),
    ("list, status=failed", _list(status="failed"), False),
    ("list, status=dead_lettered", _list(status="dead_lettered"), False),
    ("list, failed, long ago", lambda tenant, number: _long_ago(tenant, number, status="failed"), True),
    ("list, failed and channel=sms", _list(status="failed", channel="sms"), False),
)
"""What is asked, how, and whether it is the page behind the cursor that is measured."""


async def measure_read(run: Run, filled: Filled, plan: ReadPlan) -> ReadFigures:
    """Ask each question of a platform that was filled, two at a time. NotMeasurable when one is not answered."""
    heard = listen()
    pids = {name.removesuffix("-1"): pid for name, pid in run.pids.items() if name != "up"}
    told = ReadFigures(heard, filled.notifications, filled.deliveries, filled.events, filled.took_s)
    for tenant in (filled.tenants[0], filled.tenants[-1]):
        headers = (("Authorization", f"Bearer {await _key(run, tenant)}"),)
        for question, path, goes_on in _QUESTIONS:
            posts = [Post(path(tenant, number), b"", headers, "GET") for number in range(plan.asked)]
            if goes_on:
                posts = list(islice(cycle(_next_pages(posts, await _ask(run, posts))), plan.asked))
                if not posts:
                    continue  # a small tenant has no second page
            await _ask(run, posts[-_WARM_UP:])
            before = used_s(pids)
            answers = await _ask(run, posts)
            cpu_us = per_notification_us(before, used_s(pids), len(answers))
            told.answers.append(_answers(question, tenant.name, answers, cpu_us))
    return told


async def _ask(run: Run, posts: Sequence[Post]) -> list[Posted]:
    answers = await post_all(run.api_url, posts, connections=_AT_ONCE)
    for answer, post in zip(answers, posts, strict=True):
        if answer.status != _OK:
            raise NotMeasurable(f"GET {post.path} was answered with {answer.status}: {answer.body[:200]!r}")
    return answers


def _next_pages(posts: Sequence[Post], answers: Sequence[Posted]) -> Iterator[Post]:
    """The requests for what follows, where something does."""
    for post, answer in zip(posts, answers, strict=True):
        if cursor := json.loads(answer.body)["next_cursor"]:
            joint = "&" if "?" in post.path else "?"
            yield Post(f"{post.path}{joint}{urlencode({'cursor': cursor})}", b"", post.headers, "GET")


def _answers(question: str, tenant: str, answers: Sequence[Posted], cpu_us: Mapping[str, float]) -> Answers:
    took_ms = sorted(answer.took_s * 1000 for answer in answers)
    items = [len(json.loads(answer.body).get("items", [0])) for answer in answers]
    return Answers(
        question,
        tenant,
        len(answers),
        sum(items) / len(items),
        quantile(took_ms, 0.5),
        quantile(took_ms, 0.99),
        took_ms[-1],
        cpu_us["api"],
        cpu_us["PostgreSQL"],
    )


async def _key(run: Run, tenant: FilledTenant) -> str:
    """A key of its own for this tenant, made now."""
    key = new_api_key(Mode.LIVE)
    async with connected(run.database_url) as conn:
        await store_key(conn, tenant.id, key=key, name=f"bench {rfc3339(utc_now())}", mode=Mode.LIVE)
    return key


def show_read(console: Console, figures: ReadFigures) -> None:
    """Print the table and what it was measured on."""
    columns = ["p50", "p99", "worst", "api", "PostgreSQL", "items"]
    for tenant in dict.fromkeys(each.tenant for each in figures.answers):
        table = new_table(f"as tenant {tenant}", columns)
        for each in figures.answers:
            if each.tenant == tenant:
                times = (ms(each.p50_ms), ms(each.p99_ms), ms(each.worst_ms))
                cpu = (f"{each.api_us:,.0f} µs", f"{each.postgres_us:,.0f} µs")
                table.add_row(each.question, *times, *cpu, f"{each.items:.0f}")
        console.print(table)
        console.print()
    console.print(
        f"{figures.notifications:,} notifications, {figures.deliveries:,} deliveries and {figures.events:,} events, "
        f"made in {figures.filled_in_s:.0f} s; machine, best / middle / worst: {noise(figures.noise)}",
        style="dim",
    )
