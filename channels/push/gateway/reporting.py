"""What devices and connections report, on its way to the platform: in arrays, kept in memory until confirmed.

What dies with the process is not lost: an acknowledgement that nobody heard of is overdue, the push is sent again by
way of the mailbox, the device knows its id and acknowledges it again.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
import structlog

from channels.push.gateway.actions import Report
from domain.clock import utc_now
from domain.push import Wake
from domain.reasons import Reason
from domain.receipts import ReceiptKind
from plumbing.push_metrics import DELIVERY_SECONDS

MAX_ARRAY = 500
MAX_ARRAYS = 20
"""Published in one go."""
MAX_KEPT = 200_000
"""More than so many wait for RabbitMQ: the oldest are dropped, and made up for as told above."""
AGAIN_S = 1.0
GATHER_S = 0.05
"""So long the first of an array waits for others: nobody waits for a receipt, and each message costs the same."""

_PROVIDER = "gateway"
_REASONS = {101: Reason.NOT_DECODABLE, 102: Reason.NOT_SHOWN}
_SECONDS = {int(wake): DELIVERY_SECONDS.labels(priority=str(int(wake))) for wake in Wake}


class _Said(NamedTuple):
    """A report, and when it came; made into a receipt only when it goes out."""

    device: UUID
    report: Report
    at: datetime


class _Receipt(msgspec.Struct, omit_defaults=True):
    """A `domain.receipts.Receipt` as it travels; a text is quicker made of 16 bytes than a UUID."""

    provider: str
    kind: ReceiptKind
    at: datetime
    delivery_id: str
    device_id: UUID
    reason: Reason | None = None
    detail: str = ""


Publish = Callable[[Collection[bytes]], Awaitable[int]]
"""Publishes messages; how many were confirmed."""

log = structlog.get_logger(__name__)
_encode = msgspec.json.Encoder().encode


class Reporting:
    """Publishes what `add` takes, over and over until it is confirmed. Run by `open`."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._waiting: deque[_Said] = deque()
        self._under_way: list[_Said] = []
        self._is_there = asyncio.Event()
        self._is_done = asyncio.Event()
        self._run: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting) + len(self._under_way)

    def open(self) -> None:
        """Begin to publish."""
        self._run = asyncio.create_task(self._publish_all(), name="reporting")

    def add(self, device: UUID, report: Report) -> None:
        """Take a report of this device; returns at once."""
        if report.live_wake and report.kind is ReceiptKind.DELIVERED:
            accepted_ms = int.from_bytes(report.delivery[:6], "big")  # a UUIDv7 begins with its time
            _SECONDS[report.live_wake].observe(time.time() - accepted_ms / 1000)
        self._waiting.append(_Said(device, report, utc_now()))
        if len(self._waiting) > MAX_KEPT:
            self._waiting.popleft()
        self._is_there.set()
        self._is_done.clear()

    async def close(self, within_s: float) -> None:
        """Publish what waits, as long as that takes at most `within_s`, and stop."""
        if self._run is not None and len(self):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._is_done.wait()
        if self._run is not None:
            self._run.cancel()
            await asyncio.gather(self._run, return_exceptions=True)
        if len(self):
            log.warning("gateway.reports_left", count=len(self))

    async def _publish_all(self) -> None:
        while True:
            await self._is_there.wait()
            await asyncio.sleep(GATHER_S)
            count = min(len(self._waiting), MAX_ARRAY * MAX_ARRAYS)
            self._under_way = [self._waiting.popleft() for _ in range(count)]
            if not self._waiting:
                self._is_there.clear()
            while True:
                if await self._is_confirmed(self._under_way):
                    break
                await asyncio.sleep(AGAIN_S)
            self._under_way = []
            if not self._waiting:
                self._is_done.set()

    async def _is_confirmed(self, reports: Sequence[_Said]) -> bool:
        """Publish these; False when one was not confirmed. All of them again then: applying twice changes nothing."""
        receipts = [_receipt_of(*said) for said in reports]
        bodies = [_encode(receipts[start : start + MAX_ARRAY]) for start in range(0, len(receipts), MAX_ARRAY)]
        try:
            return await self._publish(bodies) == len(bodies)
        except Exception:
            log.exception("gateway.reports_broken", count=len(reports))
            return False


def _receipt_of(device: UUID, report: Report, at: datetime) -> _Receipt:
    return _Receipt(
        _PROVIDER,
        report.kind,
        at,
        _text_of(report.delivery),
        device,
        _REASONS.get(report.code),
        "" if report.successor is None else _text_of(report.successor),
    )


def _text_of(delivery: bytes) -> str:
    plain = delivery.hex()
    return f"{plain[:8]}-{plain[8:12]}-{plain[12:16]}-{plain[16:20]}-{plain[20:]}"
