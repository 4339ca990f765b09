"""The courier over real HTTPS: signed as Standard Webhooks has it, tried again by its schedule, told once if it can."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from standardwebhooks import Webhook as StandardWebhook
from standardwebhooks import WebhookVerificationError

from domain.clock import utc_now
from domain.ids import notification_of, uuid7
from domain.webhooks import WAITS_S, Disabled
from plumbing.outside import Outside
from plumbing.signatures import new_secret, read_secret
from tests.integration.webhooks.receiver import Reply
from tests.integration.webhooks.telling import Telling
from tests.integration.workers.stage import eventually
from tracking.webhooks import endpoints, replaying
from tracking.webhooks.messages import AT_ONCE_EACH, DELIVERED, FAILED, claim
from workers.webhooks.courier import MOST_UNHEARD, Courier


async def test_a_status_is_told_in_words_that_the_real_library_verifies(telling: Telling) -> None:
    await telling.webhook()
    delivery = await telling.sent()

    await telling.courier.turn()

    (taken,) = telling.receiver.taken
    told = StandardWebhook(telling.secret).verify(taken.body, taken.headers)
    assert (taken.method, taken.path) == ("POST", "/hook")
    assert taken.headers["host"] == f"localhost:{telling.receiver.port}"
    assert taken.headers["content-type"] == "application/json"
    assert told["type"] == "notification.delivery.sent"
    assert abs(datetime.fromisoformat(told["timestamp"]) - utc_now()) < timedelta(seconds=30)
    user = await telling.pool.fetchval("SELECT external_id FROM users WHERE tenant_id = $1", telling.tenant)
    assert told["data"] == {
        "notification_id": str(notification_of(delivery)),
        "delivery_id": str(delivery),
        "channel": "email",
        "mode": "live",
        "status": "sent",
        "reason": None,
        "user": user,
        "category": "orders",
        "template": "order_shipped",
        "reference": None,
        "attempt": 1,
    }
    assert b"@" not in taken.body


async def test_an_altered_body_or_another_secret_is_not_verified(telling: Telling) -> None:
    webhook = await telling.webhook()
    await telling.message(webhook)
    await telling.courier.turn()
    (taken,) = telling.receiver.taken

    with pytest.raises(WebhookVerificationError):
        StandardWebhook(telling.secret).verify(taken.body + b" ", taken.headers)
    with pytest.raises(WebhookVerificationError):
        StandardWebhook(new_secret()).verify(taken.body, taken.headers)


async def test_while_a_secret_is_replaced_both_verify_and_afterwards_only_the_new_one(telling: Telling) -> None:
    webhook, new = await telling.webhook(), new_secret()
    sealed = telling.box.seal(telling.tenant, read_secret(new))

    await endpoints.rotate(
        telling.pool, telling.tenant, webhook.id, secret_sealed=sealed, overlap=timedelta(seconds=60)
    )
    await telling.message(webhook)
    await telling.courier.turn()
    await telling.pool.execute("UPDATE webhooks SET old_secret_until = now() WHERE id = $1", webhook.id)
    await telling.message(webhook)
    await telling.courier.turn()

    during, after = telling.receiver.taken
    for secret in (telling.secret, new):
        StandardWebhook(secret).verify(during.body, during.headers)
    StandardWebhook(new).verify(after.body, after.headers)
    with pytest.raises(WebhookVerificationError):
        StandardWebhook(telling.secret).verify(after.body, after.headers)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 429, 500, 503])
async def test_what_is_no_success_is_told_again_under_the_same_id(telling: Telling, status: int) -> None:
    webhook = await telling.webhook()
    message = await telling.message(webhook)
    location = {"location": f"https://localhost:{telling.receiver.port}/elsewhere"}
    telling.receiver.script.append(Reply(status, headers=location))

    await telling.courier.turn()
    between = await telling.row(message)
    await telling.make_due()
    await telling.courier.turn()

    wait_s = (between["next_attempt_at"] - utc_now()).total_seconds()
    assert 0 < wait_s <= WAITS_S[0] * 1.1
    assert [taken.path for taken in telling.receiver.taken] == ["/hook", "/hook"]
    assert {taken.headers["webhook-id"] for taken in telling.receiver.taken} == {str(message)}
    assert telling.receiver.taken[0].body == telling.receiver.taken[1].body
    row = await telling.row(message)
    assert (row["attempts"], row["outcome"], row["next_attempt_at"]) == (2, DELIVERED, None)


async def test_an_endpoint_that_names_a_time_is_not_asked_before(telling: Telling) -> None:
    message = await telling.message(await telling.webhook())
    telling.receiver.script.append(Reply(503, headers={"retry-after": "120"}))

    await telling.courier.turn()

    wait_s = ((await telling.row(message))["next_attempt_at"] - utc_now()).total_seconds()
    assert 110 < wait_s <= 120


async def test_after_eight_attempts_a_message_has_failed_and_can_be_replayed(telling: Telling) -> None:
    webhook = await telling.webhook()
    message = await telling.message(webhook)
    telling.receiver.usual = Reply(500)

    for _ in range(10):
        await telling.courier.turn()
        await telling.make_due()
    row = await telling.row(message)
    telling.receiver.usual = Reply(204, body=b"")
    assert await replaying.replay_one(telling.pool, webhook.id, message)
    await telling.courier.turn()

    assert (row["attempts"], row["outcome"], row["next_attempt_at"]) == (8, FAILED, None)
    assert len(telling.receiver.taken) == 9
    assert (await telling.row(message))["outcome"] == DELIVERED
    lines = await replaying.attempts(telling.pool, webhook.id, limit=20, before=None)
    assert [line.status_code for line in lines] == [204] + [500] * 8
    assert [line.number for line in lines] == [1, 8, 7, 6, 5, 4, 3, 2, 1]
    assert all(line.is_test and line.message_id == message for line in lines)


async def test_410_disables_at_once_and_what_waits_is_told_when_it_is_active_again(telling: Telling) -> None:
    webhook = await telling.webhook()
    await telling.message(webhook)
    telling.receiver.script.append(Reply(410))

    await telling.courier.turn()
    disabled = await telling.again(webhook)
    await telling.sent()
    await telling.make_due()
    quiet = await telling.courier.turn()
    active = await endpoints.change(telling.pool, telling.tenant, webhook.id, is_active=True)
    await telling.courier.turn()

    assert disabled.disabled_reason is Disabled.GONE
    assert disabled.disabled_at is not None
    assert quiet == 0
    assert active is not None
    assert (active.disabled_at, active.disabled_reason, active.failing_since) == (None, None, None)
    assert len(telling.receiver.taken) == 2
    assert await telling.noted() == []


async def test_five_days_of_nothing_but_failure_disable_and_a_success_in_between_does_not(telling: Telling) -> None:
    webhook = await telling.webhook()
    telling.receiver.script.extend([Reply(500), Reply(200), Reply(500), Reply(500)])
    stood: list[tuple[bool, Disabled | None]] = []

    for days in (0, 6, 0, 6):
        await telling.pool.execute(
            "UPDATE webhooks SET failing_since = failing_since - $2::interval WHERE id = $1",
            webhook.id,
            timedelta(days=days),
        )
        await telling.message(webhook)
        await telling.courier.turn()
        now = await telling.again(webhook)
        stood.append((now.failing_since is not None, now.disabled_reason))

    assert stood[:3] == [(True, None), (False, None), (True, None)]
    assert stood[3] == (True, Disabled.FAILING)


async def test_an_endpoint_that_does_not_answer_is_left_after_its_time(telling: Telling) -> None:
    webhook = await telling.webhook()
    telling.receiver.script.append(Reply(how="silent"))
    await telling.message(webhook)

    async with asyncio.timeout(10):
        await telling.courier.turn()

    (line,) = await replaying.attempts(telling.pool, webhook.id, limit=5, before=None)
    assert (line.status_code, line.error) == (None, "no answer within 1 s")
    assert line.duration_ms < 5_000


async def test_a_slow_endpoint_has_four_at_most_and_keeps_nobody_waiting(telling: Telling) -> None:
    slow = await telling.webhook()
    quick = await telling.webhook(url=f"{telling.receiver.url}?quick")
    telling.receiver.gate = asyncio.Event()
    for _ in range(20):
        await telling.message(slow)

    async with Outside("localhost", verify=telling.receiver.trust) as patient:
        running = asyncio.create_task(Courier(telling.pool, patient, telling.box).run())
        await eventually(lambda: _is(telling.receiver.in_flight == AT_ONCE_EACH))
        await telling.message(quick)
        await eventually(lambda: _is(any(taken.path == "/hook?quick" for taken in telling.receiver.taken)))
        at_its_worst = telling.receiver.most_in_flight
        running.cancel()
        telling.receiver.gate.set()
        await asyncio.gather(running, return_exceptions=True)

    assert at_its_worst == AT_ONCE_EACH + 1


async def test_two_couriers_tell_each_message_once(telling: Telling) -> None:
    webhook = await telling.webhook()
    other = type(telling.courier)(telling.pool, telling.courier._outside, telling.box)
    messages = {str(await telling.message(webhook)) for _ in range(24)}

    async def all_told() -> bool:
        await asyncio.gather(telling.courier.turn(), other.turn())
        return len(telling.receiver.taken) >= len(messages)

    await eventually(all_told)

    ids = [taken.headers["webhook-id"] for taken in telling.receiver.taken]
    assert sorted(ids) == sorted(messages)


async def test_a_message_whose_delivery_is_kept_no_longer_fails_and_the_rest_goes_on(telling: Telling) -> None:
    webhook = await telling.webhook()
    delivery = uuid7()
    await telling.pool.execute(
        "INSERT INTO webhook_messages (webhook_id, tenant_id, delivery_id, status) VALUES ($1, $2, $3, 4)",
        webhook.id,
        telling.tenant,
        UUID(int=delivery.int),
    )
    await telling.message(webhook)

    await telling.courier.turn()

    outcomes = await telling.pool.fetch("SELECT outcome FROM webhook_messages WHERE webhook_id = $1", webhook.id)
    assert sorted(row["outcome"] for row in outcomes) == [DELIVERED, FAILED]
    assert len(telling.receiver.taken) == 1


async def _is(condition: bool) -> bool:
    return condition


async def test_a_message_that_ends_whoever_tells_it_has_failed_after_three(telling: Telling) -> None:
    webhook = await telling.webhook()
    deadly, harmless = await telling.message(webhook), await telling.message(webhook)
    await telling.pool.execute("UPDATE webhook_messages SET unheard = 2 WHERE id = $1", harmless)
    for _ in range(MOST_UNHEARD):  # claimed by one that is not heard of again
        await telling.pool.execute("UPDATE webhook_messages SET next_attempt_at = NULL WHERE id = $1", harmless)
        assert [one.id for one in await claim(telling.pool, free={}, limit=10)] == [deadly]
        await telling.make_due()
    await telling.pool.execute("UPDATE webhook_messages SET next_attempt_at = now() WHERE id = $1", harmless)

    await telling.courier.turn()

    assert [taken.headers["webhook-id"] for taken in telling.receiver.taken] == [str(harmless)]
    rows = {one: await telling.row(one) for one in (deadly, harmless)}
    assert {one: (row["outcome"], row["unheard"]) for one, row in rows.items()} == {
        deadly: (FAILED, 0),
        harmless: (DELIVERED, 0),
    }
    assert rows[deadly]["next_attempt_at"] is None
    (line,) = [one for one in await replaying.attempts(telling.pool, webhook.id, limit=9, before=None) if one.error]
    assert "were lost while they told it" in str(line.error)
