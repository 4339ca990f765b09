"""A hundred thousand dead letters: each question finds the index that was made for it, and is answered at once."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg
import pytest

from domain.clock import utc_now
from domain.lanes import Channel
from domain.reasons import Reason
from plumbing.database import connect, open_hot_pool
from tracking.dead import hold, listing
from tracking.dead.listing import Chosen, LetterState, Mark

LETTERS = 100_000
AT_ONCE_S = 2.0
"""Much more than it takes, on a machine with a lot else to do."""

_FILL = """
INSERT INTO dead_letters (id, tenant_id, channel, reason, detail, fingerprint, evidence, recipient_id, created_at,
  settled_at)
SELECT gen_random_uuid(), $1, CASE WHEN n % 5000 = 0 THEN 3 ELSE 2 END,
  CASE WHEN n % 2500 = 0 THEN 'provider_rejected' ELSE 'template_error' END, 'what went wrong',
  'email|-|error ' || n % 20 || '|a@1', '{}', md5((n % 30000)::text)::uuid, now() - n * interval '2 s',
  CASE WHEN n % 4 = 0 AND n % 2500 <> 0 THEN now() END
FROM generate_series(1, $2::int) n
"""


@dataclass
class Archive:
    """A tenant with many letters, and a hot pool."""

    tenant_id: UUID
    pool: asyncpg.Pool

    async def plan(self, statement: str, values: list[object]) -> str:
        """How PostgreSQL would answer."""
        async with self.pool.acquire() as conn:
            rows = await conn.fetch(f"EXPLAIN {statement}", *values)
        return "\n".join(row[0] for row in rows)


@pytest.fixture(scope="module")
async def archive(database_url: str) -> AsyncIterator[Archive]:
    """Filled once; gone afterwards."""
    tenant = uuid4()
    patient = await connect(database_url, command_timeout_s=None)
    await patient.execute("SET statement_timeout = 0")
    await patient.execute(_FILL, tenant, LETTERS)
    await patient.execute("ANALYZE dead_letters")
    pool = await open_hot_pool(database_url, size=1)
    yield Archive(tenant, pool)
    await pool.close()
    await patient.execute("DELETE FROM dead_letters WHERE tenant_id = $1", tenant)
    await patient.close()


@pytest.mark.parametrize(
    ("chosen", "index"),
    [
        (Chosen(), "ix_dead_letters_open"),
        (Chosen(reason=Reason.PROVIDER_REJECTED), "ix_dead_letters_open_reason"),
        (Chosen(channel=Channel.SMS), "ix_dead_letters_open_channel"),
        (Chosen(cluster="9f86d081884c"), "ix_dead_letters_open_cluster"),
        (Chosen(state=LetterState.ALL), "ix_dead_letters_tenant_id_created_at_id"),
    ],
)
async def test_a_page_is_read_down_the_index_made_for_it(archive: Archive, chosen: Chosen, index: str) -> None:
    after = Mark(utc_now(), uuid4())
    statement, values = listing.page_statement(archive.tenant_id, chosen, limit=51, after=after)

    plan = await archive.plan(statement, values)

    assert f"using {index} on" in plan
    assert "Sort" not in plan
    assert "Seq Scan" not in plan


async def test_pages_clusters_and_counts_are_answered_at_once(archive: Archive) -> None:
    begun_s = time.monotonic()
    page = await listing.list_page(archive.pool, archive.tenant_id, Chosen(channel=Channel.SMS), limit=10)
    settled = await listing.list_page(
        archive.pool, archive.tenant_id, Chosen(state=LetterState.SETTLED, reason="nothing"), limit=10
    )
    clusters = await listing.clusters(archive.pool, archive.tenant_id, Chosen())
    async with archive.pool.acquire() as conn:
        count = await listing.count(conn, archive.tenant_id, Chosen(), at_most=LETTERS + 1)
        held = await hold.hold(conn, archive.tenant_id, Chosen(), limit=500, is_locking=False)
    took_s = time.monotonic() - begun_s

    assert (len(page), settled, len(held)) == (10, [], 500)
    assert len(clusters) == 16
    assert sum(cluster.count for cluster in clusters) == count == LETTERS * 3 // 4 + LETTERS // 2500
    assert took_s < 4 * AT_ONCE_S
