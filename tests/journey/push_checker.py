"""A set checker for pushes: what was promised, what PostgreSQL says and what the devices' own logs hold must agree."""

import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from domain.delivery import DeliveryStatus
from domain.ids import notification_of
from ops.device import Device, Heard
from tests.journey.pushes import GOOD_ENDS

_SHOWN_AT_MOST = 8
"""Examples of one kind of fault in a message for people."""


@dataclass
class Kept:
    """One delivery as PostgreSQL has it."""

    status: DeliveryStatus
    device: UUID
    attempt: int


@dataclass
class Verdict:
    """What does not agree, as lines by kind of fault; and figures."""

    faults: dict[str, list[str]] = field(default_factory=dict)
    ends: Counter[str] = field(default_factory=Counter)
    heard: int = 0
    shown: int = 0

    @property
    def text(self) -> str:
        """For people: empty when all agrees."""
        lines = []
        for kind, examples in self.faults.items():
            lines.append(f"{kind}: {len(examples)}")
            lines += [f"    {example}" for example in examples[:_SHOWN_AT_MOST]]
        return "\n".join(lines)

    def note(self, kind: str, examples: list[str]) -> None:
        """Some of that kind were found, if any."""
        if examples:
            self.faults[kind] = examples


async def judge(database_url: str, devices: Mapping[UUID, Device], promised: Collection[UUID]) -> Verdict:
    """Compare. `promised` are notifications answered 202.

    lost: promised, and no delivery is known. open: no good end, or watched still. phantom: a device heard what is
    not for it. twice: it showed one id twice. unfounded: delivered, and no device acknowledged it.
    """
    notifications, kept = await _read(database_url, list(devices))
    verdict = Verdict(ends=Counter(str(one.status) for one in kept.values()))
    logs = {id_: Counter(each.id for each in device.heard) for id_, device in devices.items()}
    shown = {id_: Counter(each.id for each in device.heard if each.is_shown) for id_, device in devices.items()}
    acked = {each.id for device in devices.values() for each in device.heard if each.acked_at_s is not None}
    verdict.heard = sum(log.total() for log in logs.values())
    verdict.shown = sum(log.total() for log in shown.values())

    def tell(name: str) -> str:
        return _story(name, kept, devices)

    verdict.note("lost (202)", [str(id_) for id_ in promised if id_ not in notifications])
    verdict.note("open", [tell(name) for name, one in kept.items() if one.status not in GOOD_ENDS])
    strays = [(id_, name) for id_, log in logs.items() for name in log if name not in kept or kept[name].device != id_]
    verdict.note("phantom", [f"device {id_}: {tell(name)}" for id_, name in strays])
    verdict.note("twice", [tell(name) for log in shown.values() for name, count in log.items() if count > 1])
    delivered = [name for name, one in kept.items() if one.status is DeliveryStatus.DELIVERED]
    verdict.note("unfounded", [tell(name) for name in delivered if name not in acked])
    return verdict


async def _read(database_url: str, devices: list[UUID]) -> tuple[set[UUID], dict[str, Kept]]:
    """The notifications that have a delivery, and the deliveries."""
    conn = await asyncpg.connect(database_url)
    try:
        rows = await conn.fetch(
            "SELECT id, status, attempt, address_id FROM deliveries WHERE address_id = ANY ($1)", devices
        )
    finally:
        await conn.close()
    kept = {str(row["id"]): Kept(DeliveryStatus.of(row["status"]), row["address_id"], row["attempt"]) for row in rows}
    return {notification_of(row["id"]) for row in rows}, kept


def _story(name: str, kept: Mapping[str, Kept], devices: Mapping[UUID, Device]) -> str:
    """One delivery in a line: what PostgreSQL says, and when its device heard and acknowledged it."""
    one = kept.get(name)
    if one is None:
        return f"{name} is known to nobody"
    device = devices[one.device]
    frames = [_frame(each) for each in device.heard if each.id == name] or "never heard"
    where = f"connected to {device.url}" if device.connected.is_set() else "away"
    told = f"{name} {one.status}, attempt {one.attempt}; device {one.device}"
    return f"{told} ({where}, closes {dict(device.closes)}): {frames}"


def _frame(heard: Heard) -> str:
    way, what = "stored" if heard.is_stored else "live", "shown" if heard.is_shown else "again"
    answer = "not acknowledged" if heard.acked_at_s is None else "acknowledged"
    return f"{way}, {what}, {answer} {time.monotonic() - heard.at_s:.1f} s ago"
