"""The provider door without a network: what it answers when its sender, its house or itself is in trouble."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import pytest

from api.apns.door import ProviderDoor, read_body
from api.apns.push import Pushing
from api.apns.reasons import ApnsReason, PushRefused
from domain.errors import Unavailable

APNS_ID = "0199aaaa-0000-7000-8000-000000000001"


@dataclass
class Headers:
    """The headers of a request, each said once."""

    said: dict[str, str]

    def keys(self) -> list[str]:
        return list(self.said)

    def get_all(self, key: str) -> list[str]:
        return [self.said[key]] if key in self.said else []


@dataclass
class Scope:
    """The head of a push."""

    headers: Headers = field(default_factory=lambda: Headers({"apns-id": APNS_ID, "authorization": "bearer x"}))
    proto: str = "http"
    http_version: str = "2"
    method: str = "POST"
    path: str = "/3/device/abcd"


@dataclass
class Exchange:
    """A body that comes in parts, and what was answered."""

    parts: Sequence[bytes] = (b"{}",)
    hangs: bool = False
    answered: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part
        if self.hangs:
            await asyncio.Event().wait()

    def response_empty(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        self.answered.append((status, dict(headers), b""))

    def response_bytes(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        self.answered.append((status, dict(headers), body))


def a_door(failure: BaseException) -> ProviderDoor:
    """A door behind which everything fails in this way."""

    async def verify(authorization: str | None) -> Any:
        raise failure

    return ProviderDoor(Pushing(verify, cast(Any, None), lambda _: b"", cast(Any, None)))


async def ask(door: ProviderDoor, exchange: Exchange | None = None) -> tuple[int, dict[str, str], Any]:
    """Push once: status, headers and the JSON that was answered."""
    exchange = exchange or Exchange()
    await door(Scope(), exchange)
    [(status, headers, body)] = exchange.answered
    return status, headers, msgspec.json.decode(body)


async def test_what_nobody_foresaw_is_ours_and_says_nothing_of_itself() -> None:
    status, headers, body = await ask(a_door(RuntimeError("secret")))

    assert (status, body) == (500, {"reason": ApnsReason.INTERNAL_SERVER_ERROR})
    assert headers["apns-id"] == APNS_ID


async def test_a_database_that_is_away_is_a_service_that_is_unavailable() -> None:
    status, headers, body = await ask(a_door(Unavailable("PostgreSQL", retry_after_s=2)))

    assert (status, body) == (503, {"reason": ApnsReason.SERVICE_UNAVAILABLE})
    assert headers["retry-after"] == "2"


async def test_a_door_that_closes_says_shutdown_to_who_comes_and_waits_for_who_is_inside() -> None:
    door = a_door(PushRefused(ApnsReason.BAD_TOPIC))
    inside = asyncio.create_task(door(Scope(), slow := Exchange(hangs=True)))
    await asyncio.sleep(0)
    closing = asyncio.create_task(door.close(5))
    await asyncio.sleep(0)

    status, _, body = await ask(door)
    waits = not closing.done()
    inside.cancel()
    await closing

    assert (status, body) == (503, {"reason": ApnsReason.SHUTDOWN})
    assert waits
    assert slow.answered == []


async def test_a_body_that_does_not_come_is_an_idle_timeout() -> None:
    with pytest.raises(PushRefused) as refused:
        await read_body(Exchange([b'{"aps"'], hangs=True), timeout_s=0.01)

    assert refused.value.reason is ApnsReason.IDLE_TIMEOUT


async def test_a_body_beyond_all_measure_is_refused_before_it_ends() -> None:
    with pytest.raises(PushRefused) as refused:
        await read_body(Exchange([b"a" * 65_536] * 17, hangs=True), timeout_s=5)

    assert refused.value.reason is ApnsReason.PAYLOAD_TOO_LARGE


async def test_a_body_that_is_too_large_is_read_to_its_end_and_not_kept() -> None:
    body = await read_body(Exchange([b"a" * 4096] * 100), timeout_s=5)

    assert len(body) == 4097
