"""Dead letters past retention go with everything that hangs on them, and nothing younger does."""

from datetime import timedelta
from uuid import UUID

import asyncpg

from domain.clock import utc_now
from domain.ids import first_id_at
from tests.integration.letters import died
from tracking.dead.forget import forget
from tracking.dead.trail import Act, Note, note

LONG_AGO = utc_now() - timedelta(days=400)


async def test_what_died_before_is_gone_with_its_edits_and_its_trail(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    old, renewed, young = (one.letter for one in await died(hot_pool, tenant, 3))
    ids = {old: first_id_at(LONG_AGO), renewed: UUID(int=first_id_at(LONG_AGO).int + 1), young: young}
    for now, then in ids.items():
        await hot_pool.execute("UPDATE dead_letters SET id = $2 WHERE id = $1", now, then)
        await hot_pool.execute(
            "INSERT INTO dead_letter_edits (letter_id, version, tenant_id, data, expires_at, created_by)"
            " VALUES ($1, 0, $2, '{}', now(), 'x')",
            then,
            tenant,
        )
        async with hot_pool.acquire() as conn:
            await note(conn, tenant, [Note(then, Act.DISCARDED, "x")], who="x")
    await hot_pool.execute("UPDATE dead_letters SET created_at = $2 WHERE id = $1", ids[old], LONG_AGO)

    async with hot_pool.acquire() as conn:
        while await forget(conn, LONG_AGO + timedelta(days=1), limit=1):
            pass

    left = {ids[renewed], ids[young]}
    for table, column in (
        ("dead_letters", "id"),
        ("dead_letter_edits", "letter_id"),
        ("dead_letter_audit", "letter_id"),
    ):
        rows = await hot_pool.fetch(f"SELECT {column} AS id FROM {table} WHERE tenant_id = $1", tenant)
        assert {row["id"] for row in rows} == left
