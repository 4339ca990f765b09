"""The envelope: what one message says about which work. Ids only; never an address, a secret or a trace.

JSON, so that an operator can read it in the broker's own console. A reader takes this version only; a field that
a later writer adds within the version is passed over.
"""

from dataclasses import dataclass
from uuid import UUID

import msgspec

from domain.errors import CarillonError
from domain.lanes import Lane

VERSION = 1
MAX_BYTES = 256 * 1024
MESSAGE_TYPE = f"work.v{VERSION}"


class UnreadableEnvelope(CarillonError):
    """The bytes are no envelope of a known version: they belong to the dead letters, at first sight."""


class _Wire(msgspec.Struct):
    v: int
    id: UUID
    tenant: UUID
    lane: str
    ids: tuple[UUID, ...]


_DECODER = msgspec.json.Decoder(_Wire)
_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Envelope:
    """Deliveries of one tenant and lane that travel together; `id` is that of their outbox row."""

    id: UUID
    tenant_id: UUID
    lane: Lane
    delivery_ids: tuple[UUID, ...]

    def encode(self) -> bytes:
        """The envelope as bytes, at most 256 KiB. ValueError when it holds nothing or too much."""
        if not self.delivery_ids:
            raise ValueError("an envelope holds at least one delivery")
        body = _ENCODER.encode(_Wire(VERSION, self.id, self.tenant_id, str(self.lane), self.delivery_ids))
        if len(body) > MAX_BYTES:
            raise ValueError(f"an envelope has at most {MAX_BYTES} bytes, not {len(body)}")
        return body


def decode(body: bytes) -> Envelope:
    """The envelope in `body`, whoever wrote it; UnreadableEnvelope for everything else."""
    if len(body) > MAX_BYTES:
        raise UnreadableEnvelope(f"{len(body)} bytes are more than an envelope may have")
    try:
        wire = _DECODER.decode(body)
        if wire.v != VERSION:
            raise UnreadableEnvelope(f"version {wire.v} is not known here")
        if not wire.ids:
            raise UnreadableEnvelope("no delivery in it")
        return Envelope(wire.id, wire.tenant, Lane.parse(wire.lane), wire.ids)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UnreadableEnvelope(str(error)[:200]) from error
