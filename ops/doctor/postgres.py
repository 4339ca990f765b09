"""PostgreSQL: version, the settings that hurt, who keeps what from being cleaned up, schema, and months ahead."""

from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg

from migrations.state import head, schema_is_current
from ops.doctor.clocks import judge_clock
from ops.doctor.findings import Finding, bad, graded, ok, warn
from ops.doctor.patient import Patient
from plumbing.partitions import partition_name
from plumbing.reading import READER, is_walled

OLDEST, OLDEST_KEPT = 14, 15
"""Before the first nothing was tried; before the second its makers do not mend it much longer."""

SMALL_BUFFERS_MB = 256
LONG_S, TOO_LONG_S = 300, 3600
MUCH_WAL_MB, TOO_MUCH_WAL_MB = 1024, 10 * 1024
OLD_ROWS, TOO_OLD_ROWS = 1_000_000_000, 1_600_000_000
TABLES = ("notifications", "deliveries", "events")

_MUST_BE_ON = {
    "fsync": "a power cut destroys the database",
    "full_page_writes": "a power cut destroys the database",
    "synchronous_commit": "what was answered with 202 can be lost in a crash",
    "autovacuum": "tables grow without end",
}
_SETTINGS = "SELECT name, setting, unit FROM pg_settings WHERE name = ANY($1::text[])"
_LONGEST = """
SELECT coalesce(extract(epoch FROM max(clock_timestamp() - xact_start)), 0)::float AS age_s,
  (array_agg(coalesce(nullif(application_name, ''), usename) ORDER BY xact_start))[1] AS who
FROM pg_stat_activity WHERE backend_type = 'client backend' AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
"""
_SLOTS = """
SELECT slot_name, active, coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) / 1048576, 0)::float AS wal_mb
FROM pg_replication_slots
"""
_PREPARED = "SELECT count(*)::int FROM pg_prepared_xacts"
_USED = "SELECT count(*)::float / current_setting('max_connections')::int FROM pg_stat_activity"
_AGE = "SELECT age(datfrozenxid)::bigint FROM pg_database WHERE datname = current_database()"
_TABLE = "SELECT to_regclass($1) IS NOT NULL"


async def look(patient: Patient, conn: asyncpg.Connection) -> AsyncIterator[Finding]:
    """Every finding about the server that `conn` speaks to."""
    yield _version(conn, await conn.fetchval("SHOW server_version"))
    if await conn.fetchval("SELECT pg_is_in_recovery()"):
        words = "this server is a standby: nothing can be written"
        yield bad("postgres.role", words, "point CARILLON_DATABASE_URL at the primary")
        return
    yield ok("postgres.role", "primary")
    async for finding in _settings(patient, conn):
        yield finding
    async for finding in _held_back(conn):
        yield finding
    yield await judge_clock("postgres.clock", patient.clock, lambda: conn.fetchval("SELECT clock_timestamp()"))
    async for finding in _schema(patient, conn):
        yield finding


def _version(conn: asyncpg.Connection, words: str) -> Finding:
    version = conn.get_server_version()
    if version.major < OLDEST:
        return bad("postgres.version", f"{words} is too old", f"upgrade to {OLDEST_KEPT} or newer")
    if version.major < OLDEST_KEPT:
        return warn("postgres.version", f"{words} is at the end of its life", f"upgrade to {OLDEST_KEPT} or newer")
    return ok("postgres.version", words)


async def _settings(patient: Patient, conn: asyncpg.Connection) -> AsyncIterator[Finding]:
    rows = await conn.fetch(_SETTINGS, [*_MUST_BE_ON, "shared_buffers"])
    found = {row["name"]: row["setting"] for row in rows}
    for name, why in _MUST_BE_ON.items():
        if found[name] == "off":
            yield bad(f"postgres.{name}", f"is off: {why}", f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf()")
        else:
            yield ok(f"postgres.{name}", found[name])
    size_mb = int(found["shared_buffers"]) * 8 // 1024
    if size_mb < SMALL_BUFFERS_MB and not patient.is_local:
        advice = "a quarter of the machine's memory is usual; it needs a restart"
        yield warn("postgres.shared_buffers", f"{size_mb} MB are few", advice)
    else:
        yield ok("postgres.shared_buffers", f"{size_mb} MB")
    used = float(await conn.fetchval(_USED))
    yield graded(
        "postgres.connections",
        used,
        f"{used:.0%} of max_connections are taken",
        "raise max_connections, or run fewer processes: docs/operations.md has the arithmetic",
        warn_over=0.8,
        fail_over=0.95,
    )


async def _held_back(conn: asyncpg.Connection) -> AsyncIterator[Finding]:
    """What keeps dead rows and old log from going."""
    row = await conn.fetchrow(_LONGEST)
    who = f" ({row['who']})" if row["who"] else ""
    yield graded(
        "postgres.long_transactions",
        row["age_s"],
        f"the oldest transaction is open for {row['age_s']:.0f} s{who if row['age_s'] > LONG_S else ''}",
        "end it with pg_terminate_backend: dead rows cannot go before",
        warn_over=LONG_S,
        fail_over=TOO_LONG_S,
    )
    prepared = await conn.fetchval(_PREPARED)
    advice = "Carillon makes none: COMMIT PREPARED or ROLLBACK PREPARED them"
    yield graded("postgres.prepared_transactions", prepared, f"{prepared} lie about", advice, warn_over=0)
    slots = await conn.fetch(_SLOTS)
    for slot in slots:
        state = "active" if slot["active"] else "nobody reads it"
        yield graded(
            "postgres.replication_slots",
            slot["wal_mb"] if slot["wal_mb"] > MUCH_WAL_MB or slot["active"] else MUCH_WAL_MB + 1,
            f"{slot['slot_name']}: {state}, {slot['wal_mb']:.0f} MB of log are kept for it",
            f"SELECT pg_drop_replication_slot('{slot['slot_name']}'), or bring its reader back: the disk fills",
            warn_over=MUCH_WAL_MB,
            fail_over=TOO_MUCH_WAL_MB,
        )
    if not slots:
        yield ok("postgres.replication_slots", "none")
    age = await conn.fetchval(_AGE)
    yield graded(
        "postgres.wraparound",
        age,
        f"{age / 1_000_000:.0f} million transactions since the oldest row was frozen",
        "VACUUM (FREEZE) the oldest tables before two thousand million",
        warn_over=OLD_ROWS,
        fail_over=TOO_OLD_ROWS,
    )


async def _walls(conn: asyncpg.Connection) -> Finding:
    name = "postgres.tenants"
    if await conn.fetchval("SELECT row_security_active('deliveries')"):
        words = "row security hides the tables from this account, which does not own them"
        return bad(name, words, "use the account that ran `carillon migrate`, or make this one a member of it")
    if not await is_walled(conn):
        words = f"no row security where the API reads: tenants are kept apart by its statements alone ({READER})"
        advice = f"as an account that may: CREATE ROLE {READER} NOLOGIN; GRANT {READER} TO {{ours}}; `carillon migrate`"
        ours = await conn.fetchval("SELECT quote_ident(current_user)")
        return warn(name, words, f"{advice.format(ours=ours)}; restart the API")
    return ok(name, "kept apart by row security where the API reads")


async def _schema(patient: Patient, conn: asyncpg.Connection) -> AsyncIterator[Finding]:
    if not await schema_is_current(conn):
        yield bad("postgres.schema", f"is not that of this program ({head()})", "run `carillon migrate`")
        return
    yield ok("postgres.schema", head())
    yield await _walls(conn)
    now = patient.clock()
    missing = [name for table in TABLES if not await conn.fetchval(_TABLE, (name := partition_name(table, now)))]
    later = now.replace(day=28) + timedelta(days=5)
    ahead = [name for table in TABLES if not await conn.fetchval(_TABLE, (name := partition_name(table, later)))]
    advice = "the leading scheduler makes them within the hour: is one running? Else `carillon migrate`"
    if missing:
        yield bad("postgres.partitions", f"{', '.join(missing)} are missing: nothing can be accepted", advice)
    elif ahead:
        yield warn("postgres.partitions", f"{', '.join(ahead)} are missing", advice)
    else:
        yield ok("postgres.partitions", "this month's and the next are there")
