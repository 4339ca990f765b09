"""The load of a run, as careful clients send it: at a pace, a key on each request, the same again after every failure.

What they were answered is their log: it is what was promised.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import httpx2

from domain.clock import utc_now
from domain.lanes import Channel
from ops.chaos.audience import AWAY, HELD, HERE, READERS, ROAMING, TURNCOATS, Audience, opt_out
from ops.chaos.history import Promise
from ops.demo.provider import Provider
from ops.rest import CallFailed, Rest

AGAIN_S = 0.1
_LONGEST_AGAIN_S = 1.0
_TIMEOUT_S = 10.0
_AT_ONCE = 64
_UNANSWERED = 128
"""So many may wait for their answer: while nobody answers, no new ones are sent."""

_AWAY_EVERY = 100
"""Who is away has room for a hundred: one push in so many goes there."""

_LATER = frozenset({409, 429, 500, 502, 503, 504})
"""Answers after which the same request is sent again."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One request to come: its promise so far, and the body. `token`: by the provider door to that device instead."""

    promise: Promise
    body: dict[str, Any]
    token: str | None = None


@dataclass(slots=True)
class Load:
    """Clients of the API and of the provider door, and their log."""

    url: str
    key: str
    provider: Provider | None = None
    log: list[Promise] = field(default_factory=list)
    opted_out: dict[str, datetime] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    answer_ms: list[float] = field(default_factory=list)

    async def send_all(self, wishes: Iterator[Wish], *, per_s: float, patience_s: float = 60.0) -> None:
        """Send each at its time, or as soon as others were answered; returns when all were.

        Whoever has no answer `patience_s` after the last was sent remains without one.
        """
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        headers = {"Authorization": f"Bearer {self.key}"}
        limits = httpx2.Limits(max_connections=_AT_ONCE)
        client = httpx2.AsyncClient(
            base_url=self.url, headers=headers, timeout=_TIMEOUT_S, limits=limits, trust_env=False
        )
        asking: set[asyncio.Task[None]] = set()
        async with client:
            try:
                for n, wish in enumerate(wishes):
                    await asyncio.sleep(begun_s + n / per_s - loop.time())
                    if len(asking) >= _UNANSWERED:
                        await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
                    self.log.append(wish.promise)
                    wish.promise.asked_at = utc_now()
                    task = asyncio.create_task(self._keep_asking(client, wish))
                    asking.add(task)
                    task.add_done_callback(asking.discard)
                if asking:
                    await asyncio.wait(asking, timeout=patience_s)
            finally:
                late = list(asking)
                for task in late:
                    task.cancel()
                await asyncio.gather(*late, return_exceptions=True)

    @property
    def answered(self) -> int:
        """How many have their answer."""
        return sum(promise.is_answered for promise in self.log)

    async def opt_out_all(self, rest: Rest, *, first_after_s: float, every_s: float) -> None:
        """One turncoat after the other opts out; what counts is when that was answered."""
        await asyncio.sleep(first_after_s)
        for n in range(TURNCOATS):
            user = f"turncoat-{n}"
            while user not in self.opted_out:
                with suppress(CallFailed):
                    await opt_out(rest, user)
                    self.opted_out[user] = utc_now()
                await asyncio.sleep(AGAIN_S)
            await asyncio.sleep(every_s)

    async def _keep_asking(self, client: httpx2.AsyncClient, wish: Wish) -> None:
        """Ask until it is answered for good."""
        promise = wish.promise
        loop = asyncio.get_running_loop()
        while not promise.is_answered and promise.refusal is None:
            asked_s = loop.time()
            try:
                answer = await self._ask(client, wish)
            except (httpx2.HTTPError, CallFailed) as error:
                self._again(promise, type(error).__name__)
            else:
                self.answer_ms.append((loop.time() - asked_s) * 1000)
                self._take(promise, answer)
            if not promise.is_answered:
                await asyncio.sleep(min(_LONGEST_AGAIN_S, AGAIN_S * 2 ** min(promise.failures, 8)))

    async def _ask(self, client: httpx2.AsyncClient, wish: Wish) -> httpx2.Response:
        if wish.token is not None and self.provider is not None:
            return await self.provider.push(wish.token, wish.body, {"apns-id": wish.promise.mark})
        headers = {"Idempotency-Key": wish.promise.mark}
        return await client.post("/api/v1/notifications", json=wish.body, headers=headers)

    def _take(self, promise: Promise, answer: httpx2.Response) -> None:
        if answer.status_code in (200, 202):
            promise.is_answered, promise.answered_at = True, utc_now()
            promise.notification_id = UUID(answer.json()["id"]) if answer.status_code == 202 else None
        elif answer.status_code in _LATER:
            self._again(promise, str(answer.status_code))
        else:
            promise.refusal = f"{answer.status_code} {answer.text[:200]}"

    def _again(self, promise: Promise, why: str) -> None:
        promise.failures += 1
        self.failures[why] += 1


def usual_wishes(audience: Audience, *, run: str, with_door: bool = True) -> Iterator[Wish]:
    """An endless mix: email, SMS, push by REST and by the door; of each some that expire, collapse, come twice.

    `run` makes the marks of this run its own.
    """
    for n in count():
        kind = _KINDS[n % len(_KINDS)]
        yield (kind if with_door or kind is not _by_door else _push)(n, audience, run)


def _wish(n: int, run: str, channel: Channel, to: object, *, words: dict[str, Any] | None = None, **more: Any) -> Wish:
    mark = f"{run}-{n}"
    promise = Promise(
        mark,
        channel,
        utc_now(),
        user=to if isinstance(to, str) else None,
        dedupe_key=more.get("dedupe_key"),
        is_held=more.get("category") == HELD,
    )
    content = {"title": mark, "body": "Nothing is lost.", **(words or {})}
    return Wish(promise, {"to": to, "content": content, "channels": [channel], **more})


def _email(n: int, _: Audience, run: str) -> Wish:
    return _wish(n, run, Channel.EMAIL, {"email": f"ok+{n % 5000}@example.com"})


def _sms(n: int, _: Audience, run: str) -> Wish:
    return _wish(n, run, Channel.SMS, {"phone": f"+1415555{4000 + n % 3000}"})


def _push(n: int, audience: Audience, run: str) -> Wish:
    at = _device(n)
    to: object = f"owner-{at}" if n % 2 else {"device_token": audience.devices[at].token}
    more = {"collapse_id": "news"} if n % 7 == 0 else {"expires_in_s": 5} if n % 11 == 0 else {}
    words = {"push": {"wake": 5}} if n % 13 == 0 else {}
    return _wish(n, run, Channel.PUSH, to, words=words, **more)


def _by_door(n: int, audience: Audience, run: str) -> Wish:
    mark = str(uuid4())
    payload = {"aps": {"alert": f"{run}-{n}"}}
    return Wish(Promise(mark, Channel.PUSH, utc_now()), payload, token=audience.devices[_device(n)].token)


def _held_email(n: int, _: Audience, run: str) -> Wish:
    word = "reset" if n % 3 == 0 else "ok"
    return _wish(n, run, Channel.EMAIL, {"email": f"{word}+{n % 5000}@example.com"}, category=HELD)


def _held_sms(n: int, _: Audience, run: str) -> Wish:
    return _wish(n, run, Channel.SMS, {"phone": f"+1415555{4000 + n % 3000}"}, category=HELD)


def _soon_over(n: int, _: Audience, run: str) -> Wish:
    return _wish(n, run, Channel.EMAIL, {"email": f"ok+{n % 5000}@example.com"}, expires_in_s=3)


def _turncoat(n: int, _: Audience, run: str) -> Wish:
    channel = Channel.EMAIL if n // len(_KINDS) % 2 else Channel.SMS
    return _wish(n, run, channel, f"turncoat-{n // len(_KINDS) % TURNCOATS}")


def _reader(n: int, _: Audience, run: str) -> Wish:
    """The same news twice to each reader, from two services that do not know of each other."""
    turn = n // len(_KINDS) // 2
    return _wish(n, run, Channel.EMAIL, f"reader-{turn % READERS}", dedupe_key=f"{run}-news-{turn}")


def _device(n: int) -> int:
    if n % _AWAY_EVERY == 3:
        return HERE + ROAMING + n // _AWAY_EVERY % AWAY
    return n * 7 % (HERE + ROAMING)


_KINDS: tuple[Callable[[int, Audience, str], Wish], ...] = (
    _email,
    _sms,
    _push,
    _push,
    _email,
    _sms,
    _by_door,
    _held_email,
    _push,
    _soon_over,
    _email,
    _turncoat,
    _held_sms,
    _push,
    _sms,
    _reader,
)
