"""The scenario `door`: pushes through one provider door, from a client that costs little (h2load, of nghttp2)."""

import asyncio
import json
import re
import secrets
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt

from api.apns.keys import new_pair, store_key
from domain.clock import utc_now
from domain.delivery import OPEN, DeliveryStatus
from domain.errors import Misconfigured
from domain.ids import first_id_at
from ops.bench.accounting import per_notification_us, used_s
from ops.bench.agreement import Disagreement
from ops.bench.noise import Noise, listen
from ops.bench.platform_side import ALERT, NotMeasurable, PlatformSide
from ops.bench.tokens import device_token
from ops.stack.database import connected
from ops.stack.home import Run
from ops.stack.seed import BUNDLE, TENANT

_WITHIN_S = 120.0
_REST_WITHIN_S = 60.0
_LOOK_EVERY_S = 0.25
_TEAM = "BENCH00000"
_FINISHED = re.compile(r"finished in ([\d.]+)(ms|s), ([\d.]+) req/s")
_CODES = re.compile(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx")


@dataclass(frozen=True, slots=True)
class DoorPlan:
    """How much is done: pushes in all, to devices in turn, on so many connections with so many streams each."""

    pushes: int = 10_000
    devices: int = 1000
    connections: int = 4
    streams: int = 100
    with_profile: bool = False


@dataclass(frozen=True, slots=True)
class DoorFigures:
    """What was measured. `statuses`: the deliveries in PostgreSQL, all at rest; as many as were taken."""

    noise: Noise
    took_s: float
    per_s: float
    taken: int
    refused: int
    kept: int
    statuses: dict[str, int]
    cpu_us: dict[str, float] = field(default_factory=dict)
    """With a profile: per push and role; the load generator is not in it."""

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.per_s:,.0f} pushes/s through one provider door: {self.taken:,} taken, {self.refused:,} refused, "
            f"{_listed(self.statuses)} in the database, in {self.took_s:.1f} s\n{self.noise}"
        )


async def measure_door(side: PlatformSide, run: Run, plan: DoorPlan, folder: Path) -> DoorFigures:
    """Register the devices, push to each in turn, count. Misconfigured without h2load; NotMeasurable when it fails."""
    program = shutil.which("h2load")
    if program is None:
        raise Misconfigured("this scenario needs h2load: it comes with nghttp2 (Debian: nghttp2-client)")
    name, noise = secrets.token_hex(4), listen()
    await side.register(name, plan.devices)
    bearer = await _signed(run)
    uris, body = folder / "uris", folder / "body"
    uris.write_text("\n".join(f"{run.provider_url}/3/device/{device_token(name, n)}" for n in range(plan.devices)))
    body.write_text(json.dumps(ALERT))
    since, cpu_s = first_id_at(utc_now()), used_s(side.pids)
    said = await _load(program, plan, uris, body, bearer)
    finished, codes = _FINISHED.search(said), _CODES.search(said)
    if finished is None or codes is None:
        raise NotMeasurable(f"h2load did not finish: {said[-300:]}")
    taken = int(codes[1])
    statuses = await _at_rest(run, since)
    kept = sum(statuses.values())
    if kept != taken or any(status in OPEN for status in statuses):
        found = _listed(statuses) or "nothing"
        raise Disagreement(f"door: the ledgers do not agree: {taken:,} taken, in the database {found}")
    return DoorFigures(
        noise,
        took_s=float(finished[1]) / (1000 if finished[2] == "ms" else 1),
        per_s=float(finished[3]) * taken / plan.pushes,
        taken=taken,
        refused=plan.pushes - taken,
        kept=kept,
        statuses=statuses,
        cpu_us=per_notification_us(cpu_s, used_s(side.pids), taken) if plan.with_profile else {},
    )


async def _load(program: str, plan: DoorPlan, uris: Path, body: Path, bearer: str) -> str:
    headers = {"authorization": f"bearer {bearer}", "apns-topic": BUNDLE, "apns-push-type": "alert"}
    numbers = ("-n", plan.pushes, "-c", plan.connections, "-m", plan.streams)
    words = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    process = await asyncio.create_subprocess_exec(
        program, *map(str, numbers), "-d", str(body), "-i", str(uris), *words, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_WITHIN_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return said.decode()


async def _signed(run: Run) -> str:
    """A provider token, signed with a key that is made for this run."""
    pair, key_id = new_pair(), secrets.token_hex(5)
    async with connected(run.database_url) as conn:
        await store_key(conn, tenant=TENANT, bundle_id=BUNDLE, team_id=_TEAM, key_id=key_id, public_pem=pair.public_pem)
    return jwt.encode({"iss": _TEAM, "iat": int(time.time())}, pair.private_pem, "ES256", {"kid": key_id})


async def _at_rest(run: Run, since: UUID) -> dict[str, int]:
    """Deliveries by status once there is nothing more to do for any of them, or as they are after a while."""
    deadline = time.monotonic() + _REST_WITHIN_S
    async with connected(run.database_url) as conn:
        while True:
            rows = await conn.fetch(
                "SELECT status, count(*) FROM deliveries WHERE id >= $1 GROUP BY status ORDER BY status", since
            )
            statuses = {DeliveryStatus.of(row["status"]).value: int(row["count"]) for row in rows}
            if not any(status in OPEN for status in statuses) or time.monotonic() > deadline:
                return statuses
            await asyncio.sleep(_LOOK_EVERY_S)


def _listed(statuses: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {status}" for status, count in statuses.items())
