"""Plans of what is asked each second: by webhook and time, never all messages, however many wait."""

import re
from datetime import timedelta

from domain.ids import first_id_at, uuid7
from tests.integration.webhooks.telling import Telling
from tracking.webhooks import messages, replaying
from tracking.webhooks.messages import AT_ONCE_EACH

WAITING = 20_000
MOST_READ = 100


async def test_a_claim_reads_as_many_messages_as_it_may_have_whatever_waits(telling: Telling) -> None:
    crowded = await telling.webhook()
    for _ in range(30):
        await telling.webhook()
    await telling.pool.execute(
        "INSERT INTO webhook_messages (webhook_id, tenant_id) SELECT $1, $2 FROM generate_series(1, $3::int)",
        crowded.id,
        telling.tenant,
        WAITING,
    )
    async with telling.pool.acquire() as conn:
        await conn.execute("ANALYZE webhooks, webhook_messages, webhook_attempts")
        plans = {}
        for name, statement, arguments in (
            ("claim", messages._CLAIM, ([], [], AT_ONCE_EACH, 32, timedelta(seconds=60))),
            ("attempts", replaying._ATTEMPTS, (crowded.id, uuid7(), 50)),
            ("forget attempts", messages._FORGET_ATTEMPTS, (first_id_at(crowded.created_at), 100, uuid7())),
            ("forget messages", messages._FORGET_MESSAGES, (crowded.created_at - timedelta(days=1), 100)),
        ):
            transaction = conn.transaction()
            await transaction.start()
            rows = await conn.fetch(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {statement}", *arguments)
            plans[name] = "\n".join(row[0] for row in rows)
            await transaction.rollback()

    for name, plan in plans.items():
        assert "Seq Scan on webhook_messages" not in plan, (name, plan)
        assert "Seq Scan on webhook_attempts" not in plan, (name, plan)
        assert max(map(int, re.findall(r"actual rows=(\d+)", plan))) <= MOST_READ, (name, plan)
