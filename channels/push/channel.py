"""The push channel: a slice of pushes goes to the gateways that hold their devices, or to the mailbox; nothing waits.

One look at presence and one message per gateway for the whole slice. What a gateway's queue confirmed is sent and has
to be acknowledged by its device; of everything else the caller gets the letter to be kept.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from asyncpg.pgproto.pgproto import UUID as QuickUUID

from channels.base import Lapsed, Outcome, Outgoing, Sent, Stored
from channels.push import wire
from channels.push.hints import Nodes
from channels.push.letters import Letter
from channels.push.presence import Presence, Whereabouts
from channels.push.routing import AWAY, LIVE, Route, Way, route
from domain.clock import Clock, utc_now
from domain.content import PushContent
from domain.errors import Permanent
from domain.lanes import Channel
from domain.push import ACK_WITHIN_S
from domain.reasons import Reason
from plumbing.failpoints import Failpoint, reach
from plumbing.limiter import Limit, Limiter

PROVIDER = "gateway"
SLICE_SIZE = 500
TIMEOUT_S = 6.0
"""Redis answers within 0.1 s or is left alone, the broker within 5 s."""


class _Push:
    """One push on its way: what it is made of, and what was found out about it so far."""

    __slots__ = ("content", "device", "expires_at", "is_taken", "outgoing", "place", "route", "wait_s")

    def __init__(self, outgoing: Outgoing, content: PushContent, expires_at: datetime) -> None:
        self.outgoing = outgoing
        self.content = content
        self.device: UUID = QuickUUID(outgoing.address)
        self.expires_at = expires_at
        self.wait_s: float | None = None
        """It is silent and its device had enough: so long until it may come."""
        self.place: Whereabouts | None = None
        self.route = LIVE
        self.is_taken = False
        """The queue of its device's node has it."""

    def frame(self) -> wire.Frame:
        outgoing, content = self.outgoing, self.content
        body = wire.notification_frame(
            delivery_id=outgoing.id,
            payload=content.payload,
            wake=content.wake,
            collapse_id=outgoing.collapse_id,
            topic=content.topic,
            expires_at=self.expires_at,
            stored=False,
            notification_id=outgoing.notification_id,
        )
        return wire.Frame(
            self.device.bytes,
            outgoing.id.bytes,
            int(content.wake),
            outgoing.collapse_id,
            self.expires_at.timestamp(),
            body,
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
            is_back=self.outgoing.attempt > 1,
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
        await self._budget(going)
        await self._find_ways(going)
        live = [push for push in going if push.route.way is Way.LIVE]
        await self._publish(live)
        if live:
            reach(Failpoint.PUSH_AFTER_PUBLISH)
        duration_ms = (time.monotonic() - begun_s) * 1000
        return [self._outcome(push, duration_ms) if isinstance(push, _Push) else push for push in pushes]

    async def _budget(self, pushes: Sequence[_Push]) -> None:
        """Note how long silent pushes have to wait, because their device had enough.

        Per device, so many at once and that many again within an hour.
        """
        asked = []
        for push in pushes:
            if push.content.is_silent and push.outgoing.attempt == 1:
                if push.outgoing.silent_per_hour > 0:
                    asked.append(push)
                else:
                    push.wait_s = 3600.0
        if not asked:
            return
        limits = [
            Limit(f"{{silent}}:{push.device.hex}", push.outgoing.silent_per_hour / 3600, push.outgoing.silent_per_hour)
            for push in asked
        ]
        _, answers = await self._limiter.look_up([], limits)
        for push, answer in zip(asked, answers, strict=True):
            if not answer.allowed:
                push.wait_s = float(answer.retry_after_s)

    async def _find_ways(self, pushes: Sequence[_Push]) -> None:
        """Ask in one go where those are that may be reached at once, and note which way each push goes."""
        devices = list({push.device for push in pushes if push.outgoing.attempt == 1})
        places = await self._presence.where(devices) if devices else {}
        for push in pushes:
            push.place = places.get(push.device) if places is not None else None
            push.route = route(
                push.content,
                push.place,
                attempt=push.outgoing.attempt,
                is_over_budget=push.wait_s is not None,
                is_known=places is not None,
            )

    async def _publish(self, live: Sequence[_Push]) -> None:
        """Publish to each node what is for it, and note what its queue has."""
        by_node: defaultdict[tuple[str, str], list[_Push]] = defaultdict(list)
        for push in live:
            if push.place is not None:
                by_node[push.place[:2]].append(push)
        if len(by_node) == 1:
            for pushes in by_node.values():
                await self._publish_to(pushes)
        elif by_node:
            await asyncio.gather(*(self._publish_to(pushes) for pushes in by_node.values()))

    async def _publish_to(self, pushes: Sequence[_Push]) -> None:
        """Publish these, which are for one node."""
        place = pushes[0].place
        parts = wire.bundles([push.frame() for push in pushes])
        bodies = [body for part in parts for body in wire.encode_frames(part)]
        answers = await self._nodes.publish_to_node(place.queue, bodies) if place is not None else []
        taken = (is_there for part, is_there in zip(parts, answers, strict=True) for _ in part)
        for push, is_there in zip(pushes, taken, strict=True):
            push.is_taken = is_there

    def _outcome(self, push: _Push, duration_ms: float) -> Outcome:
        if push.is_taken and push.place is not None:
            node = push.place.node
            return Sent(PROVIDER, node, f"handed to {node}", duration_ms, ACK_WITHIN_S)
        return self._not_live(push, push.route)

    def _not_live(self, push: _Push, way: Route) -> Outcome:
        if way.way is Way.LAPSE or (way.way is Way.LIVE and push.content.is_live_only):
            return Lapsed(way.reason or Reason.DEVICE_OFFLINE, way.answer or "no gateway took it")
        if way.way is Way.LIVE:
            way = AWAY
        not_before = self._clock() + timedelta(seconds=push.wait_s or 0.0)
        return Stored(push.letter(not_before, is_folded=push.wait_s is not None), way.reason, way.answer)


def _push(outgoing: Outgoing) -> _Push | Permanent:
    if not isinstance(outgoing.content, PushContent) or outgoing.expires_at is None:
        return Permanent(Reason.CONTENT_REJECTED, "this is no push")
    return _Push(outgoing, outgoing.content, outgoing.expires_at)
