"""The work itself: what waits too long to be published, what is stuck under a dead lease, who leads, what died."""

from collections.abc import AsyncIterator

import asyncpg

from ops.doctor.findings import Finding, bad, graded, ok, warn
from tracking import waiting

WAITS_S, WAITS_TOO_LONG_S = 60, 300
OVERDUE_S, TOO_OVERDUE_S = 120, 600
LEADERS = ("scheduler", "counting")
_LEADS = "SELECT name FROM leader WHERE until > now()"
_DEAD = "SELECT count(*)::int FROM dead_letters WHERE settled_at IS NULL AND created_at > now() - interval '1 day'"
_UNREADABLE = """
SELECT count(*)::int AS count, max(created_at) AS newest FROM dead_letters
WHERE tenant_id IS NULL AND created_at > now() - interval '7 days'
"""
_ERASURES = """
SELECT coalesce(extract(epoch FROM now() - min(due_at)), 0)::float FROM erasures
WHERE closed_at IS NULL AND due_at <= now()
"""


async def look(conn: asyncpg.Connection) -> AsyncIterator[Finding]:
    """Every finding about what is under way; the schema must be current."""
    yield await _outbox(conn)
    overdue_s = await waiting.overdue_s(conn)
    yield graded(
        "work.sweeper",
        overdue_s,
        f"the oldest overdue envelope waits for {overdue_s:.0f} s",
        "ops/runbooks/stuck-sending.md: is a scheduler leading?",
        warn_over=OVERDUE_S,
        fail_over=TOO_OVERDUE_S,
    )
    stuck = await waiting.stuck_sending(conn, over_s=OVERDUE_S)
    if stuck:
        words = f"{len(stuck)} deliveries are `sending` under a lease that is over, {stuck[0].id} the longest"
        yield bad("work.sending", words, "ops/runbooks/stuck-sending.md: the sweeper takes them back where one runs")
    else:
        yield ok("work.sending", "nothing is stuck")
    leading = {row["name"] for row in await conn.fetch(_LEADS)}
    missing = [name for name in LEADERS if name not in leading]
    if missing:
        words = f"nobody leads ({', '.join(missing)}): nothing is swept, deferred news does not go out"
        yield bad("work.leader", words, "start a `carillon scheduler`: ops/runbooks/role-silent.md")
    else:
        yield ok("work.leader", "a scheduler leads")
    dead = await conn.fetchval(_DEAD)
    yield graded("work.dead_letters", dead, f"{dead} of the last day are not settled", "look at them", warn_over=0)
    yield await _unreadable(conn)
    late_s = float(await conn.fetchval(_ERASURES))
    advice = "the leading scheduler goes on with them: is one running?"
    yield graded(
        "work.erasures", late_s, f"the oldest is due for {late_s:.0f} s", advice, warn_over=600, fail_over=86_400
    )


async def _unreadable(conn: asyncpg.Connection) -> Finding:
    """Messages that nobody could read belong to no tenant, so no key shows them."""
    row = await conn.fetchrow(_UNREADABLE)
    if not row["count"]:
        return ok("work.unreadable", "every message of the last week could be read")
    words = (
        f"{row['count']} messages of the last week could not be read, the newest of {row['newest']:%Y-%m-%d %H:%M} UTC"
    )
    advice = "who else publishes here? SELECT reason, detail, evidence FROM dead_letters WHERE tenant_id IS NULL"
    return warn("work.unreadable", words, advice)


async def _outbox(conn: asyncpg.Connection) -> Finding:
    oldest = await waiting.oldest_unpublished(conn)
    if not oldest:
        return ok("work.outbox", "nothing waits to be published")
    age_s, lane = max((age_s, lane) for lane, age_s in oldest.items())
    return graded(
        "work.outbox",
        age_s,
        f"the oldest in {lane} waits for {age_s:.0f} s to be published",
        "ops/runbooks/outbox.md: is a scheduler running, and RabbitMQ well?",
        warn_over=WAITS_S,
        fail_over=WAITS_TOO_LONG_S,
    )
