"""What is kept of webhooks' messages: told again by time, and forgotten after a month."""

import json
from datetime import timedelta

from domain.clock import utc_now
from tests.integration.webhooks.receiver import Reply
from tests.integration.webhooks.telling import Telling
from tracking.webhooks import endpoints, replaying
from tracking.webhooks.messages import KEPT, forget


async def test_a_time_is_replayed_with_what_failed_or_with_all_of_it(telling: Telling) -> None:
    webhook = await telling.webhook()
    begun_at = utc_now() - timedelta(seconds=1)
    await telling.sent()
    await telling.courier.turn()
    telling.receiver.usual = Reply(500)
    failed = await telling.sent()
    for _ in range(8):
        await telling.courier.turn()
        await telling.make_due()
    telling.receiver.usual = Reply()
    until = utc_now() + timedelta(seconds=1)

    counts = []
    for failed_only in (True, False):
        counts.append(
            await replaying.replay_many(telling.pool, webhook.id, since=begun_at, until=until, failed_only=failed_only)
        )
        await telling.pool.execute("UPDATE webhooks SET failing_since = NULL WHERE id = $1", webhook.id)
        await telling.courier.turn()

    assert counts == [1, 2]
    last = [json.loads(taken.body)["data"]["delivery_id"] for taken in telling.receiver.taken[-3:]]
    assert last[0] == str(failed)
    assert await replaying.replay_many(telling.pool, webhook.id, since=until, until=until, failed_only=False) == 0


async def test_a_month_later_it_is_forgotten_and_a_deleted_webhook_at_once(telling: Telling) -> None:
    kept, deleted = await telling.webhook(), await telling.webhook()
    for webhook in (kept, kept, deleted):
        await telling.message(webhook)
    await telling.courier.turn()
    await telling.message(deleted)
    (young, old) = [
        row["id"] for row in await telling.pool.fetch("SELECT id FROM webhook_messages WHERE webhook_id = $1", kept.id)
    ]
    await telling.pool.execute("UPDATE webhook_messages SET at = at - $2::interval WHERE id = $1", old, 2 * KEPT)
    await endpoints.delete(telling.pool, telling.tenant, deleted.id)
    await telling.pool.execute("UPDATE webhooks SET deleted_at = now() - interval '1 day' WHERE id = $1", deleted.id)

    async with telling.pool.acquire() as conn, conn.transaction():
        while await forget(conn, utc_now(), limit=1):
            pass

    left = await telling.pool.fetch("SELECT id FROM webhook_messages WHERE tenant_id = $1", telling.tenant)
    assert [row["id"] for row in left] == [young]
    assert len(await replaying.attempts(telling.pool, kept.id, limit=5, before=None)) == 2
    assert await replaying.attempts(telling.pool, deleted.id, limit=5, before=None) == []
    assert await telling.pool.fetchval("SELECT count(*) FROM webhooks WHERE id = $1", deleted.id) == 0


async def test_who_was_erased_is_told_of_without_a_name(telling: Telling) -> None:
    await telling.webhook()
    delivery = await telling.sent()
    await telling.pool.execute("DELETE FROM users WHERE tenant_id = $1", telling.tenant)

    await telling.courier.turn()

    told = json.loads(telling.receiver.taken[0].body)["data"]
    assert (told["delivery_id"], told["user"]) == (str(delivery), None)
