"""Plays the scenes over the REST API and the provider door, and watches them to their ends; it prints nothing."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from domain.delivery import DeliveryStatus
from domain.lanes import Channel
from ops.demo.phone import Phone
from ops.demo.scenes import PEOPLE, PREFERENCES, SCENES, End, Moment, Scene, person
from ops.rest import NOTIFICATIONS, Rest

WITHIN_S = 45.0
_LOOK_S = 0.1


@dataclass(slots=True)
class Told:
    """One delivery as the platform tells of it. `steps` are (what, seconds after acceptance)."""

    id: str
    channel: Channel
    status: str
    reason: str | None
    attempts: int
    steps: list[tuple[str, float]] = field(default_factory=list)


@dataclass(slots=True)
class Act:
    """One scene being played: the answer that came at once, and what is known since."""

    scene: Scene
    answer_ms: float = 0.0
    answer: dict[str, Any] = field(default_factory=dict)
    gates: list[dict[str, Any]] = field(default_factory=list)
    deliveries: list[Told] = field(default_factory=list)

    @property
    def is_push(self) -> bool:
        """Whether it is for the device."""
        return Channel.PUSH in self.scene.ends

    @property
    def is_over(self) -> bool:
        """Whether every delivery has come to the end that was expected of it."""
        if self.scene.repeats is not None:
            return bool(self.answer)
        return bool(self.deliveries) and all(told.status == self.end(told).status for told in self.deliveries)

    @property
    def is_stored(self) -> bool:
        """Whether every delivery waits for its device."""
        return bool(self.deliveries) and all(told.status == DeliveryStatus.STORED for told in self.deliveries)

    @property
    def is_known(self) -> bool:
        """Whether nothing more need be asked."""
        return self.is_over and bool(self.gates)

    def end(self, told: Told) -> End:
        """How a delivery of this scene must end."""
        return self.scene.ends[told.channel]

    def faults(self, acts: "list[Act]") -> list[str]:
        """What did not go as it must, in words; nothing when all went well."""
        if self.scene.repeats is not None:
            first = acts[self.scene.repeats].answer.get("id")
            is_known = self.answer.get("reason") == "duplicate" and self.answer.get("duplicate_of") == first
            return [] if is_known else [f"“{self.scene.title}” was not recognised as a duplicate"]
        channels = sorted(told.channel for told in self.deliveries)
        if channels != sorted(self.scene.ends):
            return [f"“{self.scene.title}” has deliveries for {', '.join(channels) or 'nobody'}"]
        return [fault for told in self.deliveries for fault in self._faults_of(told)]

    def _faults_of(self, told: Told) -> list[str]:
        end, name = self.end(told), f"“{self.scene.title}” by {told.channel}"
        faults = [] if told.status == end.status else [f"{name} is {told.status}, not {end.status}"]
        if told.attempts != end.attempts:
            faults.append(f"{name} took {told.attempts} attempts, not {end.attempts}")
        if told.reason != end.reason:
            faults.append(f"{name} has the reason {told.reason}, not {end.reason}")
        return faults


async def play(rest: Rest, run: str, *, phone: Phone, on_change: Callable[[list[Act]], None]) -> list[Act]:
    """Send every scene and return when all have ended as they must, or the time is over. Raises CallFailed.

    The device goes away before the scenes that want that, and comes back when what they sent waits for it.
    """
    acts = [Act(scene) for scene in SCENES]
    deadline = time.monotonic() + WITHIN_S

    async def until(condition: Callable[[Act], bool], some: list[Act]) -> None:
        while not all(condition(act) for act in some) and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_S)
            await asyncio.gather(*(_look(rest, phone, act) for act in acts if act.answer and not act.is_known))
            on_change(acts)

    first, away = ([act for act in acts if act.scene.moment is moment] for moment in Moment)
    for act in first:
        await _send(rest, phone, act, run)
        on_change(acts)
    await until(lambda act: act.is_over, [act for act in first if act.is_push])
    await phone.device.stop()
    for act in away:
        await _send(rest, phone, act, run)
        on_change(acts)
    await until(lambda act: act.is_over or act.is_stored, away)
    await phone.device.come()
    await until(lambda act: act.is_known, acts)
    return acts


async def invite(rest: Rest, run: str) -> None:
    """Make the people, and let them say what they want."""
    for name, facts in PEOPLE.items():
        path = f"/api/v1/users/{quote(person(name, run), safe='')}"
        await rest.put(path, {fact: value.format(run=run) for fact, value in facts.items() if fact != "name"})
        if name in PREFERENCES:
            await rest.put(f"{path}/preferences", PREFERENCES[name])


async def _send(rest: Rest, phone: Phone, act: Act, run: str) -> None:
    began = time.monotonic()
    if act.scene.by_door:
        await phone.push_by_door(act.scene.words, act.scene.title)
        act.answer = {"status": "accepted"}
    else:
        act.answer = await rest.send(act.scene.request(run))
    act.answer_ms = (time.monotonic() - began) * 1000


async def _look(rest: Rest, phone: Phone, act: Act) -> None:
    """Ask what is known by now. What came through the door is known by what the device was shown."""
    if "id" not in act.answer:
        identifier = phone.notification_of(act.scene.title)
        if identifier is None:
            return
        act.answer["id"] = identifier
    found = await rest.get(f"{NOTIFICATIONS}/{act.answer['id']}/explain")
    notification = found["notification"]
    began = datetime.fromisoformat(notification["created_at"])
    act.gates = found["gates"]
    act.deliveries = [
        Told(
            delivery["id"],
            Channel(delivery["channel"]),
            delivery["status"],
            delivery["reason"],
            delivery["attempt"],
            [
                (event["kind"].removeprefix("attempt_"), (datetime.fromisoformat(event["at"]) - began).total_seconds())
                for event in found["events"]
                if event["delivery_id"] == delivery["id"]
            ],
        )
        for delivery in notification["deliveries"]
    ]
