"""What the doctor sees in a real PostgreSQL, and in the work that lies there."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.ids import uuid7
from ops.doctor import postgres, unsubscribe, work
from ops.doctor.findings import Level
from ops.stack.database import create_database, drop_database, migrate, sibling_url
from plumbing.database import connect
from plumbing.partitions import partition_name
from tests.integration.doctor.visits import a_patient, gathered
from tests.integration.tracking.builders import person, records
from tracking import leader, ledger
from tracking.dead import letters
from tracking.dead.letters import DeadLetter

PATIENT = a_patient()


@pytest.fixture
async def url(postgres_url: str) -> AsyncIterator[str]:
    """A database of its own at the newest schema."""
    name = f"carillon_doctor_{uuid7().hex}"
    await create_database(postgres_url, name)
    url = sibling_url(postgres_url, name)
    await migrate(url)
    yield url
    await drop_database(postgres_url, name)


@pytest.fixture
async def conn(url: str) -> AsyncIterator[asyncpg.Connection]:
    conn = await connect(url)
    yield conn
    await conn.close()


@pytest.fixture
async def a_tenant(conn: asyncpg.Connection) -> UUID:
    tenant = uuid7()
    await conn.execute("INSERT INTO tenants (id, name) VALUES ($1, 'doctor')", tenant)
    return tenant


async def test_a_server_for_tests_is_found_out_and_the_rest_is_well(conn: asyncpg.Connection) -> None:
    found = await gathered(postgres.look(PATIENT, conn))

    wrong = {name for name, each in found.items() if each.level is not Level.OK}
    assert {"postgres.schema", "postgres.partitions", "postgres.version", "postgres.clock"} <= found.keys() - wrong
    assert found["postgres.fsync"].level is Level.FAIL, "tests run without fsync, production must not"
    assert found["postgres.fsync"].advice
    assert found["postgres.shared_buffers"].level is Level.WARN


async def test_commits_that_do_not_wait_are_a_fault(url: str, conn: asyncpg.Connection) -> None:
    name = await conn.fetchval("SELECT current_database()")
    await conn.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    again = await connect(url)

    found = await gathered(postgres.look(PATIENT, again))
    await again.close()

    assert found["postgres.synchronous_commit"].level is Level.FAIL


async def test_a_clock_that_runs_ahead_is_told(conn: asyncpg.Connection) -> None:
    levels = {
        skew_s: (await gathered(postgres.look(a_patient(skew_s=skew_s), conn)))["postgres.clock"].level
        for skew_s in (0, 3, 30)
    }

    assert levels == {0: Level.OK, 3: Level.WARN, 30: Level.FAIL}


async def test_what_holds_back_cleaning_is_named(
    url: str, conn: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = f"doctor_{uuid4().hex[:8]}"
    other = await connect(url, application_name="forgetful")
    await conn.execute("SELECT pg_create_physical_replication_slot($1, true)", slot)
    monkeypatch.setattr(postgres, "LONG_S", -1)

    async with other.transaction():
        await other.execute("SELECT 1")
        found = await gathered(postgres.look(PATIENT, conn))
    await conn.execute("SELECT pg_drop_replication_slot($1)", slot)
    await other.close()

    assert found["postgres.long_transactions"].level is Level.WARN
    assert found["postgres.replication_slots"].level is Level.WARN
    assert slot in found["postgres.replication_slots"].words


async def test_months_that_are_missing_are_told_before_they_are_needed(conn: asyncpg.Connection) -> None:
    now = utc_now()
    later = now.replace(day=28) + timedelta(days=5)

    await conn.execute(f"DROP TABLE {partition_name('events', later)}")
    soon = (await gathered(postgres.look(PATIENT, conn)))["postgres.partitions"]
    await conn.execute(f"DROP TABLE {partition_name('events', now)}")
    gone = (await gathered(postgres.look(PATIENT, conn)))["postgres.partitions"]

    assert (soon.level, gone.level) == (Level.WARN, Level.FAIL)
    assert partition_name("events", now) in gone.words


async def test_a_schema_of_another_release_is_a_fault_with_the_verb_that_mends_it(conn: asyncpg.Connection) -> None:
    await conn.execute("UPDATE alembic_version SET version_num = '0001'")

    found = await gathered(postgres.look(PATIENT, conn))

    assert found["postgres.schema"].level is Level.FAIL
    assert "carillon migrate" in found["postgres.schema"].advice


async def test_nobody_leading_is_a_fault_until_somebody_does(conn: asyncpg.Connection) -> None:
    before = await gathered(work.look(conn))
    for name in work.LEADERS:
        await leader.lead(conn, name, "a test")
    after = await gathered(work.look(conn))

    assert before["work.leader"].level is Level.FAIL
    assert {name: each.level for name, each in after.items()} == dict.fromkeys(after, Level.OK)


async def test_an_outbox_that_nobody_empties_is_told_by_its_oldest(conn: asyncpg.Connection, a_tenant: UUID) -> None:
    await _record(conn, a_tenant)

    levels = []
    for age in ("10 s", "100 s", "20 min"):
        await conn.execute(f"UPDATE outbox SET available_at = now() - interval '{age}'")
        levels.append((await gathered(work.look(conn)))["work.outbox"])

    assert [each.level for each in levels] == [Level.OK, Level.WARN, Level.FAIL]
    assert "email.normal" in levels[-1].words


async def test_a_delivery_under_a_dead_lease_is_named(conn: asyncpg.Connection, a_tenant: UUID) -> None:
    stuck = await _record(conn, a_tenant)
    await conn.execute(
        "UPDATE deliveries SET status = $2, lease_until = now() - interval '20 min' WHERE id = $1",
        stuck,
        DeliveryStatus.SENDING.code,
    )
    await conn.execute(
        "UPDATE outbox SET published_at = now() - interval '1 hour', watch_at = now() - interval '15 min'"
    )

    found = await gathered(work.look(conn))

    assert found["work.sending"].level is Level.FAIL
    assert str(stuck) in found["work.sending"].words
    assert found["work.sweeper"].level is Level.FAIL


async def test_fresh_dead_letters_and_late_erasures_are_told(conn: asyncpg.Connection, a_tenant: UUID) -> None:
    await letters.keep(conn, [DeadLetter("template_error", "x", "y", {}, a_tenant, uuid7())])
    await conn.execute(
        "INSERT INTO erasures (id, tenant_id, user_id, subject_key, actor, asked_at, due_at)"
        " VALUES ($1, $2, $1, $1, 'test', now(), now() - interval '1 hour')",
        uuid7(),
        a_tenant,
    )

    found = await gathered(work.look(conn))

    assert found["work.dead_letters"].level is Level.WARN
    assert found["work.erasures"].level is Level.WARN


async def test_promotional_news_without_a_way_out_is_found(
    conn: asyncpg.Connection, a_tenant: UUID, tmp_path: Path
) -> None:
    folder = tmp_path / "adverts"
    folder.mkdir()
    (folder / "message.json").write_text('{"category": "marketing"}')
    (folder / "sample.json").write_text("{}")
    (folder / "email.subject.txt").write_text("Buy")
    (folder / "email.txt").write_text("Buy now.")
    healthy = await gathered(unsubscribe.look(PATIENT, conn))
    await conn.execute(
        "INSERT INTO categories (tenant_id, name, kind, default_allow, required, channels, dedupe_window_s,"
        " expires_in_s, ambiguous) VALUES ($1, 'forced', 'promotional', true, true, '{email}', 1, 60, 'hold')",
        a_tenant,
    )

    ill = await gathered(unsubscribe.look(a_patient(template_path=tmp_path, public_url="http://example.org"), conn))

    assert {each.level for each in healthy.values()} == {Level.OK}
    assert ill["unsubscribe.words"].level is Level.WARN
    assert "adverts/email.txt" in ill["unsubscribe.words"].words
    assert (ill["unsubscribe.categories"].level, ill["unsubscribe.one_click"].level) == (Level.FAIL, Level.FAIL)
    assert "forced of doctor" in ill["unsubscribe.categories"].words


async def _record(conn: asyncpg.Connection, tenant: UUID) -> UUID:
    """One notification that waits; its delivery."""
    made = records(await person(conn, tenant))
    async with conn.transaction():
        await ledger.record(conn, made)
    return made.deliveries[0].id


async def test_messages_that_nobody_could_read_are_told_though_they_are_no_tenants(conn: asyncpg.Connection) -> None:
    async with conn.transaction():
        await conn.execute("DELETE FROM dead_letters WHERE tenant_id IS NULL")
        assert (await gathered(work.look(conn)))["work.unreadable"].level is Level.OK
        await letters.keep(conn, [DeadLetter("unreadable", "x", "receipts|-|x|-", {"body": "?"})])

        found = (await gathered(work.look(conn)))["work.unreadable"]

    assert found.level is Level.WARN
    assert found.words.startswith("1 messages")
