"""A mix of recipients whom each gate treats differently, sent to at a steady pace while every answer is timed."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

KINDS = 10
USERS_PER_KIND = 10
PER_S = 100.0
OPTED_OUT = {"channels": {"email": False, "sms": False}}
"""What the turncoats choose halfway; before they have no objection."""


@dataclass(frozen=True)
class Answer:
    """What one request was told. `at_s` counts from the first request."""

    status_code: int
    at_s: float
    took_s: float
    body: dict[str, Any]

    @property
    def decision(self) -> object:
        """What the gates decided, without ids: equal requests are decided equally."""
        planned = [(each["channel"], each["status"], each.get("reason")) for each in self.body.get("deliveries", ())]
        return self.status_code, self.body.get("status"), self.body.get("reason"), planned


@dataclass
class Mix:
    """One tenant with its users, and a client that sends to them."""

    client: httpx2.AsyncClient
    answers: dict[int, Answer] = field(default_factory=dict)

    async def write_users(self) -> None:
        """Every user with an address for each channel, and what each allows."""
        for kind, document in _preferences().items():
            for number in range(USERS_PER_KIND):
                user = f"{kind}-{number}"
                facts = {"email": f"{user}@example.com", "phone": f"+141555520{number:02}"}
                (await self.client.put(f"/api/v1/users/{user}", json=facts)).raise_for_status()
                if document is not None:
                    await self._choose(user, document)

    async def send_all(self, count: int, trouble: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        """Send the first `count` requests of the mix, each at its time whatever became of the others."""
        async with asyncio.TaskGroup() as group:
            if trouble is not None:
                group.create_task(trouble())
            begun_s = time.monotonic()
            for n in range(count):
                await asyncio.sleep(max(0.0, begun_s + n / PER_S - time.monotonic()))
                group.create_task(self._send(n, wish(n, count), begun_s))
                if n == count // 2:
                    group.create_task(self._turn_coats())

    async def _send(self, n: int, request: dict[str, Any], begun_s: float) -> None:
        sent_s = time.monotonic()
        answer = await self.client.post("/api/v1/notifications", json=request)
        now_s = time.monotonic()
        self.answers[n] = Answer(answer.status_code, sent_s - begun_s, now_s - sent_s, answer.json())

    async def _turn_coats(self) -> None:
        for number in range(USERS_PER_KIND):
            await self._choose(f"turncoat-{number}", OPTED_OUT)

    async def _choose(self, user: str, document: dict[str, Any]) -> None:
        (await self.client.put(f"/api/v1/users/{user}/preferences", json=document)).raise_for_status()


def wish(n: int, count: int) -> dict[str, Any]:
    """The `n`-th request: all ten kinds in turn, each user of a kind in turn."""
    kind, number = n % KINDS, n // KINDS % USERS_PER_KIND
    request: dict[str, Any] = {"content": {"title": f"No. {n}", "body": "Text"}, "channels": ["email", "sms"]}
    match kind:
        case 0:
            to: object = f"channel-{number}"
        case 1:
            to, request["category"] = f"category-{number}", "orders"
        case 2:
            to = f"quiet-{number}"
        case 3:
            to = f"unsubscribed-{number}"
        case 4:
            to, request["category"], request["channels"] = f"content-{number}", "marketing", ["email"]
        case 5:
            to, request["dedupe_key"] = f"content-{number}", f"once-{n // (2 * KINDS * USERS_PER_KIND)}"
        case 6:
            to, request["channels"] = {"email": f"stranger-{number}@example.com"}, ["email"]
        case 7:
            to, request["priority"], request["category"] = f"quiet-{number}", "critical", "security"
        case 8:
            to = f"nobody-{number}"
        case _:  # not while the opting out itself is on its way
            to = f"content-{number}" if 0.4 < n / count < 0.7 else f"turncoat-{number}"
    return {"to": to, **request}


def _preferences() -> dict[str, dict[str, Any] | None]:
    now = datetime.now(UTC)
    start, end = ((now + timedelta(hours=hours)).strftime("%H:%M") for hours in (-1, 2))
    return {
        "content": None,
        "channel": {"channels": {"sms": False}},
        "category": {"categories": {"orders": False}},
        "quiet": {"quiet_hours": {"start": start, "end": end, "timezone": "UTC", "mode": "defer"}},
        "unsubscribed": {"unsubscribed": True},
        "turncoat": None,
    }
