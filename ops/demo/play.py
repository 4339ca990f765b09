"""Plays the scenes over the REST API and watches them to their ends; it prints nothing."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from domain.lanes import Channel
from ops.demo.scenes import PEOPLE, PREFERENCES, SCENES, End, Scene
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
    def is_over(self) -> bool:
        """Whether every delivery has come to the end that was expected of it."""
        if not self.answer:
            return False
        return self.scene.repeats is not None or all(told.status == self.end(told).status for told in self.deliveries)

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


async def play(rest: Rest, run: str, *, on_change: Callable[[list[Act]], None]) -> list[Act]:
    """Send every scene and return when all have ended as they must, or the time is over. Raises CallFailed."""
    await _invite(rest, run)
    acts = [Act(scene) for scene in SCENES]
    for act in acts:
        began = time.monotonic()
        act.answer = await rest.send(act.scene.request(run))
        act.answer_ms = (time.monotonic() - began) * 1000
        on_change(acts)
    deadline = time.monotonic() + WITHIN_S
    while True:
        await asyncio.gather(*(_look(rest, act) for act in acts if not (act.is_over and act.gates)))
        on_change(acts)
        if all(act.is_over for act in acts) or time.monotonic() > deadline:
            return acts
        await asyncio.sleep(_LOOK_S)


async def _invite(rest: Rest, run: str) -> None:
    """Make the people, and let them say what they want."""
    for name, facts in PEOPLE.items():
        path = f"/api/v1/users/{quote(f'demo-{name}-{run}', safe='')}"
        await rest.put(path, {fact: value.format(run=run) for fact, value in facts.items() if fact != "name"})
        if name in PREFERENCES:
            await rest.put(f"{path}/preferences", PREFERENCES[name])


async def _look(rest: Rest, act: Act) -> None:
    """Ask what is known by now."""
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
