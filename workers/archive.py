"""Dead letters: from the broker's dead queues into PostgreSQL, where people look. Acknowledged after the commit."""

import asyncio
from typing import Any, Protocol

import asyncpg
import structlog

from domain.errors import CarillonError
from domain.lanes import Channel
from domain.reasons import Reason
from plumbing import metrics
from plumbing.broker.envelope import UnreadableEnvelope, decode
from tracking.claim import Claimed
from tracking.dead.letters import INLINE, DeadLetter, archive, fingerprint

MAX_BATCH = 100
PREFETCH = 2 * MAX_BATCH
AGAIN_S = 1.0
MAX_SHOWN = 2000
"""Characters of an unreadable body that are kept as evidence."""

log = structlog.get_logger(__name__)


class DeadMessage(Protocol):
    """A message out of a dead queue."""

    body: bytes

    @property
    def headers(self) -> dict[str, Any]:
        """What stands beside the body."""

    async def ack(self) -> None:
        """Kept: the broker may forget it."""


class Archive:
    """Keeps what `put` was given; `close` ends it, and what was not kept comes again."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._queue: asyncio.Queue[tuple[str, DeadMessage]] = asyncio.Queue()
        self._run: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to keep."""
        self._run = asyncio.create_task(self._keep_all(), name="archive")

    def put(self, of: str, message: DeadMessage) -> None:
        """Take a message from the dead queue of a channel or of `receipts`; returns at once."""
        self._queue.put_nowait((of, message))

    async def close(self) -> None:
        """Stop. Messages not acknowledged go back to the broker with the connection."""
        if self._run is not None:
            self._run.cancel()
            await asyncio.gather(self._run, return_exceptions=True)

    async def _keep_all(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < MAX_BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            letters = [letter_of(of, message.body, message.headers) for of, message in batch]
            if await self._keep(letters):
                for _, message in batch:
                    await message.ack()
                continue
            for letter, (_, message) in zip(letters, batch, strict=True):  # one of them is guilty: it stays where it is
                if await self._keep([letter]):
                    await message.ack()

    async def _keep(self, letters: list[DeadLetter]) -> bool:
        """Keep these, however long PostgreSQL takes to come back; False when it will not have them."""
        while True:
            try:
                await archive(self._pool, letters)
            except CarillonError as error:
                log.warning("archive.postponed", size=len(letters), error=str(error))
                await asyncio.sleep(AGAIN_S)
            except Exception:
                log.exception("archive.failed", size=len(letters))
                return False
            else:
                metrics.DEAD_LETTERS_ARCHIVED.inc(len(letters))
                return True


def failure_letter(claimed: Claimed, reason: Reason, detail: str) -> DeadLetter:
    """The letter of a delivery that failed in a way that an operator may repair; the finisher keeps it."""
    return DeadLetter(
        reason=str(reason),
        detail=detail,
        fingerprint=fingerprint(
            claimed.channel,
            detail or reason,
            template=f"{claimed.template}@{claimed.template_version}" if claimed.template else INLINE,
        ),
        evidence={
            "attempt": claimed.attempt,
            "template": claimed.template,
            "template_version": claimed.template_version,
        },
        tenant_id=claimed.tenant_id,
        delivery_id=claimed.id,
        channel=claimed.channel,
    )


def letter_of(of: str, body: bytes, headers: dict[str, Any]) -> DeadLetter:
    """The letter of a message that nobody could work with."""
    channel = Channel(of) if of in set(Channel) else None
    reason = str(headers.get("x-reason") or "delivered_too_often")
    evidence: dict[str, Any] = {"body": body[:MAX_SHOWN].decode("utf-8", "replace"), "size_bytes": len(body)}
    tenant_id = None
    try:
        envelope = decode(body)
    except UnreadableEnvelope as error:
        detail = str(headers.get("x-detail") or error)
    else:
        tenant_id = envelope.tenant_id
        detail = f"an envelope of {len(envelope.delivery_ids)} deliveries came back too often"
    return DeadLetter(reason, detail, fingerprint(of, reason), evidence, tenant_id=tenant_id, channel=channel)
