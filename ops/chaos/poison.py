"""The scene of messages that kill: ten among ten thousand end whoever works on them, and nobody else is buried."""

import asyncio
import time
from collections import Counter

import asyncpg

from domain.delivery import OPEN, DeliveryStatus
from domain.reasons import Reason
from ops.chaos.asked import Asked
from ops.chaos.reading import settle
from ops.chaos.stage import Stage, a_stage
from ops.chaos.verdict import Verdict
from ops.rest import NOTIFICATIONS, open_rest
from ops.simulated.ledger import LedgerReader
from ops.stack.database import connected
from plumbing.failpoints import VARIABLE, Failpoint

RESTARTS_AT_MOST = 15
ENDED_WITHIN_S = 900.0
"""Three leases for each killer, and each death of a worker costs its supervisor's pause."""

_BULK = 500
_LONG, _SHORT = (10_000, 10), (600, 3)

_FATES = """
SELECT d.id, d.status, d.attempt, c.address LIKE 'killer%' AS kills, l.reason,
  l.evidence->'deaths' IS NOT NULL AS is_told
FROM deliveries d JOIN contacts c ON c.id = d.address_id LEFT JOIN dead_letters l ON l.delivery_id = d.id
"""
_STRAY_LETTERS = "SELECT count(*) FROM dead_letters WHERE delivery_id IS NULL"


async def play(asked: Asked) -> Verdict:
    """Send, wait until everything has ended, and look at each fate."""
    count, killers = _LONG if asked.is_long else _SHORT
    verdict = Verdict("poison", asked.seed)
    began_s = time.monotonic()
    told = {VARIABLE: f"{Failpoint.WORKER_BEFORE_SEND}@killer"}
    async with a_stage(asked.settings, stack=asked.stack, told=told) as stage:
        began_sending_s = time.monotonic()
        await _send(stage, count, killers)
        asked.say(f"{count:,} were accepted, {killers} of them kill; waiting for ends")
        is_over, counts = await settle(stage.run.database_url, within_s=ENDED_WITHIN_S)
        verdict.figures |= {
            "ended_after_s": round(time.monotonic() - began_sending_s, 1),
            **dict(sorted(counts.items())),
        }
        verdict.expect("everything has ended", is_over, sum(counts[status] for status in OPEN))
        async with connected(stage.run.database_url) as conn:
            await _judge(conn, stage, verdict, count, killers)
    verdict.figures["took_s"] = round(time.monotonic() - began_s, 1)
    return verdict


async def _send(stage: Stage, count: int, killers: int) -> None:
    every = count // killers
    names = [f"{'killer' if n % every == every // 2 else 'ok'}+{n}@example.com" for n in range(count)]
    async with open_rest(stage.run.api_url, stage.run.api_key) as rest:
        for at in range(0, count, _BULK):
            items = [
                {"to": {"email": name}, "content": {"title": name, "body": "One of many."}}
                for name in names[at : at + _BULK]
            ]
            await rest.post(f"{NOTIFICATIONS}/bulk", {"notifications": items})
            await asyncio.sleep(0)


async def _judge(conn: asyncpg.Connection, stage: Stage, verdict: Verdict, count: int, killers: int) -> None:
    rows = await conn.fetch(_FATES)
    taken = LedgerReader.read(stage.ledger).taken()
    guilty = [row for row in rows if row["kills"]]
    innocent = [row for row in rows if not row["kills"]]
    sent = [row for row in innocent if row["status"] == DeliveryStatus.SENT.code and taken[str(row["id"])]]
    told = [row for row in guilty if row["reason"] == Reason.WORKER_CRASH and row["is_told"]]
    buried = [row for row in innocent if row["reason"] is not None]
    attempts = Counter(row["attempt"] for row in guilty)
    verdict.expect("everybody else was sent", len(sent) == count - killers, len(sent))
    verdict.expect("each killer is a dead letter with evidence", len(told) == killers, len(told))
    verdict.expect("no neighbour is a dead letter", not buried and not await conn.fetchval(_STRAY_LETTERS), len(buried))
    verdict.expect(f"at most {RESTARTS_AT_MOST} deaths for each", max(attempts) <= RESTARTS_AT_MOST, max(attempts))
    verdict.figures["deaths_of_workers"] = sum("worker-1 (exit" in words for words in stage.said)
    verdict.figures["taken_twice"] = sum(copies - 1 for copies in taken.values())
