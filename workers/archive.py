"""Dead letters: from the broker's dead queues into PostgreSQL, where people look. Acknowledged after the commit."""

import asyncio
import re
from typing import Any, Protocol
from uuid import UUID

import asyncpg
import msgspec
import structlog

from domain.errors import Unavailable
from domain.lanes import Channel
from plumbing import metrics
from plumbing.broker.envelope import UnreadableEnvelope, decode
from tracking.dead import DeadLetter, archive

MAX_BATCH = 100
PREFETCH = 2 * MAX_BATCH
AGAIN_S = 1.0
MAX_SHOWN = 2000
"""Characters of an unreadable body that are kept as evidence."""

log = structlog.get_logger(__name__)


class DeadMessage(Protocol):
    """A message out of a dead queue."""

    body: bytes
    headers: dict[str, Any]

    async def ack(self) -> None:
        """Kept: the broker may forget it."""


class FailedDelivery(msgspec.Struct):
    """What a worker tells about a delivery that an operator may repair."""

    delivery_id: UUID
    tenant_id: UUID
    channel: Channel
    reason: str
    detail: str = ""
    template: str | None = None
    template_version: int = 0
    attempt: int = 0


_decode_failed = msgspec.json.Decoder(FailedDelivery).decode
_VARIABLE_PARTS = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\S+@\S+|\+?\d+")


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
            while True:
                try:
                    await archive(self._pool, letters)
                    break
                except Unavailable as error:
                    log.warning("archive.postponed", size=len(letters), error=str(error))
                    await asyncio.sleep(AGAIN_S)
            metrics.DEAD_LETTERS_ARCHIVED.inc(len(letters))
            for _, message in batch:
                await message.ack()


def letter_of(of: str, body: bytes, headers: dict[str, Any]) -> DeadLetter:
    """The dead letter that a message makes: of a failed delivery, or of a message that nobody could work with."""
    channel = Channel(of) if of in set(Channel) else None
    try:
        failed = _decode_failed(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _of_message(of, channel, body, headers)
    return DeadLetter(
        reason=failed.reason,
        detail=failed.detail,
        fingerprint=_fingerprint(of, failed.detail or failed.reason, f"{failed.template}@{failed.template_version}"),
        evidence={"attempt": failed.attempt, "template": failed.template, "template_version": failed.template_version},
        tenant_id=failed.tenant_id,
        delivery_id=failed.delivery_id,
        channel=failed.channel,
    )


def _of_message(of: str, channel: Channel | None, body: bytes, headers: dict[str, Any]) -> DeadLetter:
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
    return DeadLetter(reason, detail, _fingerprint(of, reason, "-"), evidence, tenant_id=tenant_id, channel=channel)


def _fingerprint(of: str, error: str, template: str) -> str:
    """Equal for letters of one cause: what differs from one delivery to the next is taken out."""
    return f"{of}|{_VARIABLE_PARTS.sub('*', error)[:200]}|{template}"
