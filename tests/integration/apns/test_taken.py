"""What the door takes: one notification for each push, as its headers say, over either protocol."""

import asyncpg
import httpx2
import msgspec

from tests.apns_doors import PAYLOAD, Provider, a_token, push


async def test_a_push_is_taken_and_kept_as_one_notification(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, device = await a_token(hot_pool, provider)

    answer = await push(client, token, provider.headers())

    assert (answer.status, answer.reason, answer.http) == (200, None, "HTTP/2")
    assert len(answer.apns_id) == 36
    [row] = await hot_pool.fetch("SELECT * FROM notifications WHERE tenant_id = $1", provider.tenant)
    [delivery] = await hot_pool.fetch("SELECT * FROM deliveries WHERE tenant_id = $1", provider.tenant)
    assert msgspec.json.decode(row["data"])["push"]["payload"] == PAYLOAD
    assert delivery["address_id"] == device
