"""The push channel: a slice of pushes goes to the gateways that hold their devices, or to the mailbox; nothing waits.

One look at presence and one message per gateway for the whole slice. What a gateway's queue confirmed is sent and has
to be acknowledged by its device; of everything else the caller gets the letter to be kept.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from channels.base import Lapsed, Outcome, Outgoing, Sent, Stored
from channels.push import wire
from channels.push.hints import Nodes
from channels.push.letters import Letter
from channels.push.presence import Presence, Whereabouts
from channels.push.routing import AWAY, Route, Way, route
from domain.clock import Clock, utc_now
from domain.content import PushContent
from domain.errors import Permanent
from domain.lanes import Channel
from domain.push import ACK_WITHIN_S
from domain.reasons import Reason
from plumbing.failpoints import Failpoint, reach
from plumbing.limiter import Limit, Limiter

PROVIDER = "gateway"
SLICE_SIZE = 64
TIMEOUT_S = 6.0
"""Redis answers within 0.1 s or is left alone, the broker within 5 s."""


@dataclass(frozen=True, slots=True)
class _Push:
    """One push on its way, with what it is made of."""

    outgoing: Outgoing
    content: PushContent
    device: UUID
    expires_at: datetime

    def frame(self) -> wire.Frame:
        body = wire.notification_frame(
            delivery_id=self.outgoing.id,
            payload=self.content.payload,
            wake=self.content.wake,
            collapse_id=self.outgoing.collapse_id,
            topic=self.content.topic,
            expires_at=self.expires_at,
            stored=False,
        )
        return wire.Frame(
            device=self.device.bytes,
            delivery=self.outgoing.id.bytes,
            wake=int(self.content.wake),
            collapse_id=self.outgoing.collapse_id,
            expires_at=self.expires_at.timestamp(),
            body=body,
        )

    def letter(self, not_before: datetime, *, is_folded: bool) -> Letter:
        return Letter(
            delivery_id=self.outgoing.id,
            tenant_id=self.outgoing.tenant_id,
            device_id=self.device,
            wake=int(self.content.wake),
            collapse_id=self.outgoing.collapse_id,
            topic=self.content.topic,
            payload=self.content.payload,
            not_before=not_before,
            expires_at=self.expires_at,
            is_folded_silent=is_folded,
        )


class PushChannel:
    """Hands pushes to devices of our own. Has no breaker and no pace: the broker and the mailbox take what comes."""

    channel = Channel.PUSH
    provider = PROVIDER
    slice_size = SLICE_SIZE
    timeout_s = TIMEOUT_S

    def __init__(self, nodes: Nodes, presence: Presence, limiter: Limiter, *, clock: Clock = utc_now) -> None:
        self._nodes = nodes
        self._presence = presence
        self._limiter = limiter
        self._clock = clock

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do: what it was given belongs to others."""

    async def send(self, slice_: Sequence[Outgoing]) -> list[Outcome]:
        """Send a slice, and answer in its order."""
        begun_s = time.monotonic()
        pushes = [_push(outgoing) for outgoing in slice_]
        going = [push for push in pushes if isinstance(push, _Push)]
        waits_s = await self._budget(going)
        places = await self._places(going)
        routes = _routes(going, places, waits_s)
        live = [push for push in going if routes[push.outgoing.id].way is Way.LIVE]
        taken = await self._publish(live, places or {})
        if live:
            reach(Failpoint.PUSH_AFTER_PUBLISH)
        duration_ms = (time.monotonic() - begun_s) * 1000
        outcomes: list[Outcome] = []
        for push in pushes:
            if not isinstance(push, _Push):
                outcomes.append(push)
            elif places is not None and push.outgoing.id in taken:
                outcomes.append(_sent(places[push.device], duration_ms))
            else:
                outcomes.append(self._not_live(push, routes[push.outgoing.id], waits_s))
        return outcomes

    async def _budget(self, pushes: Sequence[_Push]) -> dict[UUID, float]:
        """Seconds that silent pushes have to wait, because their device had enough; those that need not are missing.

        Per device, so many at once and that many again within an hour.
        """
        silent = [push for push in pushes if push.content.is_silent and push.outgoing.attempt == 1]
        asked = [push for push in silent if push.outgoing.silent_per_hour > 0]
        limits = [
            Limit(f"{{silent}}:{push.device.hex}", push.outgoing.silent_per_hour / 3600, push.outgoing.silent_per_hour)
            for push in asked
        ]
        _, answers = await self._limiter.look_up([], limits)
        waits = {push.outgoing.id: 3600.0 for push in silent if push.outgoing.silent_per_hour <= 0}
        for push, answer in zip(asked, answers, strict=True):
            if not answer.allowed:
                waits[push.outgoing.id] = float(answer.retry_after_s)
        return waits

    async def _places(self, pushes: Sequence[_Push]) -> dict[UUID, Whereabouts] | None:
        """Where those are that may be reached at once; None: nobody knows."""
        devices = sorted({push.device for push in pushes if push.outgoing.attempt == 1})
        return await self._presence.where(devices) if devices else {}

    async def _publish(self, live: Sequence[_Push], places: Mapping[UUID, Whereabouts]) -> set[UUID]:
        """Publish to each node what is for it; the deliveries that its queue has."""
        by_queue: defaultdict[str, list[wire.Frame]] = defaultdict(list)
        for push in live:
            by_queue[places[push.device].queue].append(push.frame())
        answers = await asyncio.gather(*(self._publish_to(queue, frames) for queue, frames in by_queue.items()))
        return {delivery for taken in answers for delivery in taken}

    async def _publish_to(self, queue: str, frames: Sequence[wire.Frame]) -> set[UUID]:
        parts = wire.bundles(frames)
        answers = await self._nodes.publish_to_node(
            queue, [body for part in parts for body in wire.encode_frames(part)]
        )
        return {
            UUID(bytes=frame.delivery)
            for part, is_there in zip(parts, answers, strict=True)
            for frame in part
            if is_there
        }

    def _not_live(self, push: _Push, way: Route, waits_s: Mapping[UUID, float]) -> Outcome:
        if way.way is Way.LAPSE or (way.way is Way.LIVE and push.content.is_live_only):
            return Lapsed(way.reason or Reason.DEVICE_OFFLINE, way.answer or "no gateway took it")
        if way.way is Way.LIVE:
            way = AWAY
        wait_s = waits_s.get(push.outgoing.id)
        not_before = self._clock() + timedelta(seconds=wait_s or 0.0)
        return Stored(push.letter(not_before, is_folded=wait_s is not None), way.reason, way.answer)


def _routes(
    pushes: Sequence[_Push], places: Mapping[UUID, Whereabouts] | None, waits_s: Mapping[UUID, float]
) -> dict[UUID, Route]:
    return {
        push.outgoing.id: route(
            push.content,
            places.get(push.device) if places is not None else None,
            attempt=push.outgoing.attempt,
            is_over_budget=push.outgoing.id in waits_s,
            is_known=places is not None,
        )
        for push in pushes
    }


def _push(outgoing: Outgoing) -> _Push | Permanent:
    if not isinstance(outgoing.content, PushContent) or outgoing.expires_at is None:
        return Permanent(Reason.CONTENT_REJECTED, "this is no push")
    return _Push(outgoing, outgoing.content, UUID(outgoing.address), outgoing.expires_at)


def _sent(place: Whereabouts, duration_ms: float) -> Sent:
    return Sent(PROVIDER, place.node, f"handed to {place.node}", duration_ms, ACK_WITHIN_S)
