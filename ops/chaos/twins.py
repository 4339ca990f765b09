"""The scene of impatient clients: each request is sent by five twins at once, and is one notification."""

import asyncio
import time
from collections import Counter, defaultdict

import httpx2

from ops.chaos.asked import Asked
from ops.chaos.stage import Stage, a_stage
from ops.chaos.verdict import Verdict
from ops.rest import NOTIFICATIONS, TIMEOUT_S
from ops.stack.database import connected

TWINS = 5
_LONG, _SHORT = 10_000, 500
_AT_ONCE = 10
"""Keys that are sent at the same time, all twins of each."""

_ACCEPTED, _UNDER_WAY = 202, 409


async def play(asked: Asked) -> Verdict:
    """Send all twins, and count answers and notifications."""
    keys = _LONG if asked.is_long else _SHORT
    verdict = Verdict("twins", asked.seed)
    began_s = time.monotonic()
    async with a_stage(asked.settings, stack=asked.stack) as stage:
        statuses, bodies = await _send(stage, keys)
        async with connected(stage.run.database_url) as conn:
            known = await conn.fetchval("SELECT count(*) FROM notifications")
    ids = {body["id"] for same in bodies.values() for body in same}
    different = [key for key, same in bodies.items() if any(body != same[0] for body in same)]
    verdict.expect("one notification for each key", known == len(ids) == len(bodies) == keys, known)
    verdict.expect("twins are answered alike", not different, len(different))
    verdict.expect("or told to wait; nothing else", set(statuses) <= {_ACCEPTED, _UNDER_WAY}, str(dict(statuses)))
    verdict.figures |= {
        "requests": statuses.total(),
        "answered_alike": statuses[_ACCEPTED] - keys,
        "told_to_wait": statuses[_UNDER_WAY],
        "took_s": round(time.monotonic() - began_s, 1),
    }
    return verdict


async def _send(stage: Stage, keys: int) -> tuple[Counter[int], dict[str, list[dict[str, object]]]]:
    """How many answers of each status there were, and what those of each key said that was accepted."""
    statuses: Counter[int] = Counter()
    bodies: defaultdict[str, list[dict[str, object]]] = defaultdict(list)
    headers = {"Authorization": f"Bearer {stage.run.api_key}"}
    limits = httpx2.Limits(max_connections=_AT_ONCE * TWINS)
    async with httpx2.AsyncClient(
        base_url=stage.run.api_url, timeout=TIMEOUT_S, limits=limits, headers=headers
    ) as client:

        async def send(key: str) -> None:
            request = {"to": {"email": f"ok+{key}@example.com"}, "content": {"title": key, "body": "Once."}}
            answer = await client.post(NOTIFICATIONS, json=request, headers={"Idempotency-Key": key})
            statuses[answer.status_code] += 1
            if answer.status_code == _ACCEPTED:
                bodies[key].append(answer.json())

        for at in range(0, keys, _AT_ONCE):
            together = [f"twin-{n}" for n in range(at, min(at + _AT_ONCE, keys)) for _ in range(TWINS)]
            await asyncio.gather(*(send(key) for key in together))
    return statuses, dict(bodies)
