"""The scenario `email`: emails through the whole platform, beside what the same client and server do alone.

Alone is the least there can be: aiosmtplib on as many kept connections says finished bytes to the simulated provider,
which writes its ledger to the disk before each answer. Both in turn, on one machine, to one server.
"""

import asyncio
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiosmtplib
import asyncpg

from channels.email import message
from domain.clock import utc_now
from domain.content import EmailContent
from domain.delivery import DeliveryStatus
from domain.errors import CarillonError
from domain.ids import first_id_at, uuid7
from ops.bench.mails import deliveries_of, mail_posts
from ops.bench.noise import Noise, listen
from ops.bench.posts import post_all
from ops.simulated.ledger import LedgerReader
from ops.stack.database import connected
from ops.stack.home import Run

GOAL = 0.6
_DOOR_CONNECTIONS = 4
_LOOK_EVERY_S = 0.05
_WITHIN_S = 180.0
_WORDS = EmailContent(
    "Your order A-1000 is on its way",
    "Hello,\n\nyour order A-1000 has left our warehouse with Northway Post.\n\nThank you for shopping with us.\n",
    "<!doctype html>\n<html>\n<body>\n<p>Hello,</p>\n"
    "<p>your order A-1000 has left our warehouse with Northway Post.</p>\n"
    "<p>Thank you for shopping with us.</p>\n</body>\n</html>\n",
    "https://bench.localhost/u/" + "t" * 120,
)


class LedgerDiffers(CarillonError):
    """The simulated provider and the database do not tell the same: figures of such a run are worth nothing."""


@dataclass(frozen=True, slots=True)
class EmailPlan:
    """How many emails in each turn, on how many connections to the mail server, and how many turns."""

    emails: int = 2000
    connections: int = 32
    turns: int = 3


@dataclass(slots=True)
class EmailFigures:
    """Emails per second in each turn, alone and through the platform."""

    plan: EmailPlan
    noise: Noise
    alone_per_s: list[float] = field(default_factory=list)
    carillon_per_s: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Of each turn."""
        return [ours / alone for ours, alone in zip(self.carillon_per_s, self.alone_per_s, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of them."""
        return statistics.median(self.ratios)

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "ratios": self.ratios, "ratio": self.ratio, "goal": GOAL}

    def __str__(self) -> str:
        rows = [
            f"{name}: {statistics.median(rates):,.0f} emails/s ({min(rates):,.0f} to {max(rates):,.0f})"
            for name, rates in (("Carillon", self.carillon_per_s), ("client and server alone", self.alone_per_s))
        ]
        verdict = "reached" if self.ratio >= GOAL else "MISSED"
        rows.append(
            f"{verdict}: {self.ratio:.0%} of what they do alone ({min(self.ratios):.0%} to {max(self.ratios):.0%}; "
            f"the goal is {GOAL:.0%})"
        )
        return "\n".join([*rows, str(self.noise)])


async def measure_email(run: Run, plan: EmailPlan) -> EmailFigures:
    """All turns. LedgerDiffers when the provider's ledger and the database disagree."""
    if run.simulated is None:
        raise LedgerDiffers("this platform has no simulated provider")
    figures = EmailFigures(plan, listen())
    async with connected(run.database_url) as conn:
        await _through(run, conn, EmailPlan(emails=plan.connections))  # so that all of it is warm
        for _ in range(plan.turns):
            figures.alone_per_s.append(await _alone(run.simulated["smtp_url"], plan))
            figures.carillon_per_s.append(await _through(run, conn, plan))
    return figures


async def _alone(url: str, plan: EmailPlan) -> float:
    """From the first MAIL to the last answer, on connections that are greeted beforehand."""
    where, sender = urlsplit(url), message.Sender.parse("Carillon <hello@bench.localhost>")
    raw = message.build(_WORDS, to="alone@example.com", delivery_id=uuid7(), sender=sender, now=utc_now())
    clients = [
        aiosmtplib.SMTP(hostname=where.hostname, port=where.port, start_tls=False, timeout=None)
        for _ in range(plan.connections)
    ]
    for client in clients:
        await client.connect()
        await client.ehlo()
    turns = iter(range(plan.emails))
    began = time.monotonic()
    await asyncio.gather(*(_say(client, turns, raw, sender.address) for client in clients))
    took_s = time.monotonic() - began
    for client in clients:
        client.close()
    return plan.emails / took_s


async def _say(client: aiosmtplib.SMTP, turns: Iterator[int], raw: bytes, sender: str) -> None:
    for _ in turns:
        await client.mail(sender)
        await client.rcpt("alone@example.com")
        await client.data(raw)


async def _through(run: Run, conn: "asyncpg.Connection", plan: EmailPlan) -> float:
    """From the first request to the last final status in the database."""
    posts = mail_posts(run, plan.emails, priority="high")  # normal ones leave a quarter of the connections to others
    ledger = Path(run.simulated["ledger"]) if run.simulated else Path()
    before = _lines(ledger)
    since, began_at, began = first_id_at(utc_now()), time.time(), time.monotonic()
    sent = deliveries_of(await post_all(run.api_url, posts, connections=_DOOR_CONNECTIONS))
    while _lines(ledger) - before < len(sent) and time.monotonic() - began < _WITHIN_S:  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(_LOOK_EVERY_S)  # asking the database would be part of what is measured
    query = "SELECT count(*) AS count, max(updated_at) AS last FROM deliveries WHERE id >= $1 AND status = $2"
    while (row := await conn.fetchrow(query, since, DeliveryStatus.SENT.code))["count"] < len(sent):
        if time.monotonic() - began > _WITHIN_S:
            raise LedgerDiffers(f"{row['count']:,} of {len(sent):,} emails are sent after {_WITHIN_S:.0f} s")
        await asyncio.sleep(_LOOK_EVERY_S)
    _insist(run, set(sent))
    last_at: float = row["last"].timestamp()
    return len(sent) / (last_at - began_at)


def _lines(path: Path) -> int:
    with path.open("rb") as ledger:
        return sum(1 for _ in ledger)


def _insist(run: Run, sent: set[str]) -> None:
    taken = LedgerReader.read(Path(run.simulated["ledger"])).taken() if run.simulated else {}
    wrong = [name for name in sent if taken.get(name) != 1]
    if wrong:
        raise LedgerDiffers(f"{len(wrong):,} of {len(sent):,} emails were not taken exactly once: {wrong[0]}, …")
