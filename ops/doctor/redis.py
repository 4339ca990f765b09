"""Redis: version, what it does when it is full, and its clock."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis

from ops.doctor.clocks import judge_clock
from ops.doctor.findings import Finding, bad, graded, ok, warn
from ops.doctor.patient import Patient

OLDEST = (6, 2)


async def look(patient: Patient, client: Redis) -> AsyncIterator[Finding]:
    """Every finding about the server that `client` speaks to."""
    info: dict[str, Any] = await client.info()
    version = str(info["redis_version"])
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        yield bad("redis.version", f"{version} is too old", "upgrade to 6.2 or newer, or to Valkey")
    else:
        yield ok("redis.version", version)
    if info.get("role", "master") != "master":
        yield bad(
            "redis.role", "this server is a replica: nothing can be written", "name the primary in CARILLON_REDIS_URL"
        )
    for finding in _memory(patient, info):
        yield finding
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        words = "its last snapshot failed: Redis may refuse to write (MISCONF)"
        yield bad("redis.snapshots", words, 'turn snapshots off (save ""): nothing in Redis is the truth')

    async def ask() -> datetime:
        seconds, microseconds = await client.time()
        return datetime.fromtimestamp(seconds + microseconds / 1_000_000, UTC)

    yield await judge_clock("redis.clock", patient.clock, ask)


def _memory(patient: Patient, info: dict[str, Any]) -> list[Finding]:
    most, used, policy = int(info.get("maxmemory", 0)), int(info["used_memory"]), str(info.get("maxmemory_policy", ""))
    if not most:
        words = f"no limit (maxmemory 0), {used // 1_048_576} MB used"
        advice = "set maxmemory with maxmemory-policy allkeys-lru"
        return [ok("redis.memory", words) if patient.is_local else warn("redis.memory", words, advice)]
    findings = []
    if policy == "noeviction":
        words = "noeviction: when it is full every write is refused, and limits and presence go without Redis"
        findings.append(bad("redis.eviction", words, "CONFIG SET maxmemory-policy allkeys-lru"))
    else:
        findings.append(ok("redis.eviction", policy))
    share = used / most
    words = f"{share:.0%} of {most // 1_048_576} MB are used"
    advice = "raise maxmemory: what is thrown out early is asked of PostgreSQL"
    findings.append(graded("redis.memory", share, words, advice, warn_over=0.95))
    return findings
