"""Reads what a run has left: PostgreSQL's rows and events, the providers' ledger, the devices' logs, explanations."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from domain.delivery import DeliveryStatus
from domain.ids import delivery_range, notification_of
from domain.lanes import Channel
from ops.chaos.checker import has_not_ended
from ops.chaos.history import Event, Heard, History, Kept, Noted, Promise, Taken
from ops.device import Device
from ops.rest import CallFailed, Rest
from ops.simulated.ledger import LedgerReader
from ops.stack.database import connected
from tracking.events import EventKind

_LOOK_S = 0.3
_LOOKS = 5
_EXPLAINED = 200
"""So many notifications are compared with their explanation."""


async def settle(database_url: str, *, within_s: float, is_home: bool = False) -> tuple[bool, Counter[str]]:
    """Wait until every delivery has ended; whether they have, and how many there are of each status.

    A push is sent until its device has acknowledged it. `is_home`: all devices are connected, so nothing is stored.
    """
    deadline_s = asyncio.get_running_loop().time() + within_s
    async with connected(database_url) as conn:
        while True:
            rows = await conn.fetch("SELECT status, channel, count(*) AS count FROM deliveries GROUP BY 1, 2")
            counts: Counter[str] = Counter()
            left = 0
            for row in rows:
                status = DeliveryStatus.of(row["status"])
                counts[str(status)] += row["count"]
                is_left = has_not_ended(status, Channel.of(row["channel"]))
                left += row["count"] * (is_left or (is_home and status is DeliveryStatus.STORED))
            if not left or asyncio.get_running_loop().time() > deadline_s:
                return not left, counts
            await asyncio.sleep(_LOOK_S)


async def read_history(
    database_url: str,
    *,
    ledger: Path,
    promises: Sequence[Promise],
    devices: Mapping[UUID, Device],
    opted_out: Mapping[str, datetime] | None = None,
    broadcasts: Mapping[UUID, int] | None = None,
) -> History:
    """Everything that there is now; PostgreSQL's as of one moment."""
    async with connected(database_url) as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        notifications = await conn.fetch("SELECT id, campaign_id, reference, data FROM notifications")
        deliveries = await conn.fetch("SELECT * FROM deliveries ORDER BY id")
        events = await conn.fetch("SELECT * FROM events ORDER BY delivery_id, at, kind")
    by_delivery: defaultdict[UUID, list[Event]] = defaultdict(list)
    for row in events:
        by_delivery[row["delivery_id"]].append(_event(row))
    return History(
        promises=promises,
        notifications=[Noted(row["id"], _mark(row), row["campaign_id"]) for row in notifications],
        deliveries=[_kept(row, by_delivery[row["id"]]) for row in deliveries],
        taken=[
            Taken(entry.delivery_id, datetime.fromisoformat(entry.time))
            for entry in LedgerReader.read(ledger).entries
            if entry.outcome.is_taken
        ],
        heard=[
            Heard(each.id, device_id, each.is_shown, each.acked_at_s is not None)
            for device_id, device in devices.items()
            for each in device.heard
        ],
        opted_out=opted_out or {},
        broadcasts=broadcasts or {},
    )


async def differences(rest: Rest, database_url: str, history: History, rng: random.Random) -> list[str]:
    """Where `explain` does not say what PostgreSQL says, for a sample of notifications; by HTTP.

    A receipt may come between the two: what differs is asked again.
    """
    names = sorted({one.notification_id for one in history.deliveries})
    found = []
    async with connected(database_url) as conn:
        for name in rng.sample(names, min(_EXPLAINED, len(names))):
            for _ in range(_LOOKS):
                said, kept = await _explained(rest, name), await _written(conn, name)
                if said == kept:
                    break
            else:
                found.append(f"{name}: explained {said}, written {kept}")
    return found


_Told = tuple[dict[UUID, tuple[str, int]], Counter[tuple[UUID, str]]]
"""Status and attempt of each delivery, and how many events of each kind it has."""


async def _explained(rest: Rest, name: UUID) -> _Told | str:
    try:
        told = await rest.get(f"/api/v1/notifications/{name}/explain")
    except CallFailed as error:
        return str(error)
    deliveries = {UUID(one["id"]): (one["status"], one["attempt"]) for one in told["notification"]["deliveries"]}
    return deliveries, Counter((UUID(each["delivery_id"]), each["kind"]) for each in told["events"])


async def _written(conn: asyncpg.Connection, name: UUID) -> _Told:
    within = delivery_range(name)
    rows = await conn.fetch("SELECT id, status, attempt FROM deliveries WHERE id BETWEEN $1 AND $2", *within)
    events = await conn.fetch("SELECT delivery_id, kind FROM events WHERE delivery_id BETWEEN $1 AND $2", *within)
    deliveries = {row["id"]: (str(DeliveryStatus.of(row["status"])), row["attempt"]) for row in rows}
    return deliveries, Counter((row["delivery_id"], str(EventKind.of(row["kind"]))) for row in events)


def _kept(row: Any, events: list[Event]) -> Kept:
    channel = Channel.of(row["channel"])
    return Kept(
        id=row["id"],
        notification_id=notification_of(row["id"]),
        channel=channel,
        status=DeliveryStatus.of(row["status"]),
        attempt=row["attempt"],
        crashes=row["crashes"],
        device_id=row["address_id"] if channel is Channel.PUSH else None,
        expires_at=row["expires_at"],
        events=tuple(events),
    )


def _event(row: Any) -> Event:
    facts = msgspec.json.decode(row["detail"]) if row["detail"] else {}
    status, begun_at = facts.get("status"), facts.get("begun_at")
    return Event(
        at=row["at"],
        kind=EventKind.of(row["kind"]),
        attempt=row["attempt"],
        status=DeliveryStatus(status) if status else None,
        begun_at=datetime.fromisoformat(begun_at) if begun_at else None,
    )


def _mark(row: Any) -> str | None:
    """Whose it is: the client's own reference, else the title that was sent, else the template's `mark`."""
    words = msgspec.json.decode(row["data"])
    mark = row["reference"] or words.get("title") or words.get("mark")
    return str(mark) if mark is not None else None
