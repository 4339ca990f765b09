"""Canaries: secrets, addresses and words that go in by every door, and may be found nowhere but where they belong."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aio_pika
import httpx2
import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from channels.sms.callbacks import sign
from domain.clock import utc_now
from ops.demo.provider import a_provider
from ops.device import Device
from ops.simulated.ledger import LedgerReader
from ops.stack.accounts import data_folder
from ops.stack.home import Home, Keys, Run
from ops.stack.platform import CERTIFICATES
from ops.stack.seed import BUNDLE
from plumbing.broker.topology import DEAD, QUARANTINE, RECEIPTS, WORK
from tests.journey.pushes import until
from tests.journey.running import Up

SENDING = "/api/v1/notifications"
CALLED_BY = 14
"""So many letters of a key are its name, which may stand anywhere."""

MAILS = ("ok", "bounce", "greylist-1", "reset", "hangup", "throttle", "down")
PHONES = ("+16285550177", "+16285550001", "+16285550003", "+16285550006", "+16285550007")
FORM = {"content-type": "application/x-www-form-urlencoded"}


def _random(kind: str = "") -> str:
    return kind + secrets.token_hex(20)


@dataclass(frozen=True)
class Canaries:
    """What is let in, made up anew for this run."""

    mail: str = field(default_factory=lambda: f"canary{secrets.token_hex(6)}")
    otp: str = field(default_factory=lambda: f"{secrets.token_hex(5)}-otp")
    words: str = field(default_factory=lambda: _random("words"))
    wrong_key: str = field(default_factory=lambda: _random("cn_live_"))
    wrong_app_key: str = field(default_factory=lambda: _random("cn_app_"))
    wrong_token: str = field(default_factory=lambda: secrets.token_hex(32))
    webhook_secret: str = field(default_factory=lambda: _random("whsec_"))
    link: str = field(default_factory=lambda: _random("link"))


@dataclass
class Birdwatch:
    """A platform, what is let into it, and every error that it answered with."""

    up: Up
    run: Run
    keys: Keys
    canaries: Canaries
    client: httpx2.AsyncClient
    envelopes: list[bytes] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    device_token: str = ""

    async def ask(self, method: str, path: str, status: int, **more: Any) -> httpx2.Response:
        """Ask the API; an error is kept with its headers."""
        answer = await self.client.request(method, path, **more)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        if not answer.is_success:
            self.answers.append(f"{answer.headers}{answer.text}")
        return answer

    def needles(self) -> dict[str, str]:
        """What is looked for. Keys are called by their first letters, which may stand anywhere."""
        known = {name: getattr(self.keys, name) for name in Keys.__dataclass_fields__}
        made = {name: getattr(self.canaries, name) for name in Canaries.__dataclass_fields__}
        assert self.run.app_key is not None
        told = {"app_key": self.run.app_key, "device_token": self.device_token}
        phones = {f"phone {number}": number[1:] for number in PHONES}
        return {
            name: text[CALLED_BY:] if text.startswith(("cn_", "whsec_")) else text
            for name, text in {**known, **made, **told, **phones}.items()
        }

    def sung(self, where: Mapping[str, bytes]) -> list[str]:
        """`<needle> in <place>` for everything that was found."""
        return [
            f"{name} in {place}"
            for place, text in where.items()
            for name, needle in self.needles().items()
            if needle.lower().encode() in text.lower()
        ]


@pytest.fixture
async def watch(server_folder: Any, tmp_path: Any) -> AsyncIterator[Birdwatch]:
    """The whole platform on the embedded stack, with ears at its broker."""
    folder = data_folder(server_folder / "canaries")
    up = Up.start(folder, tmp_path / "up.txt", stack="embedded", more={"CARILLON_WEBHOOK_HOSTS": "127.0.0.1"})
    try:
        await asyncio.to_thread(up.await_healthy)
        run, keys = Home(folder).read_run(), Home(folder).keys()
        assert run is not None
        headers = {"authorization": f"Bearer {keys.api_key}"}
        async with (
            httpx2.AsyncClient(base_url=run.api_url, headers=headers, timeout=10, trust_env=False) as client,
            await aio_pika.connect(run.amqp_url) as broker,
        ):
            watch = Birdwatch(up, run, keys, Canaries(), client)
            await _overhear(broker, watch.envelopes)
            yield watch
    finally:
        await asyncio.to_thread(up.stop)


async def test_88_what_is_secret_or_personal_is_found_in_the_providers_own_book_and_nowhere_else(
    watch: Birdwatch,
) -> None:
    await _register(watch)
    await _send(watch)
    await _be_refused(watch)
    await _knock_at_the_gateway(watch)
    await _knock_at_the_door(watch)
    await _report(watch)
    assert watch.run.simulated is not None
    book = Home(watch.up.folder).folder / "ledger.jsonl"
    wanted = {f"{script}+{watch.canaries.mail}@example.com" for script in MAILS} | set(PHONES)

    async def is_told() -> bool:
        return wanted <= {entry.recipient for entry in LedgerReader.read(book).entries}

    assert await until(is_told, 30), watch.up.said()
    places = {"answers": "\n".join(watch.answers).encode(), "envelopes": b"\n".join(watch.envelopes)}
    places["redis"] = await _redis_keys(watch.run.redis_url)
    for role, url in watch.run.metrics_urls.items():
        places[f"metrics of {role}"] = (await watch.client.get(url)).content
    await asyncio.to_thread(watch.up.stop)
    logs = {path.name: path.read_bytes() for path in Home(watch.up.folder).logs.iterdir()}
    places |= logs

    found_in_book = watch.sung({"book": book.read_bytes()})
    assert {"mail in book", *(f"phone {number} in book" for number in PHONES)} == set(found_in_book)
    assert {f"{role}.log" for role in watch.run.metrics_urls} <= logs.keys()
    assert [place for place, text in places.items() if not text and place != "redis.log"] == []
    assert watch.sung(places) == []


async def _overhear(broker: Any, envelopes: list[bytes]) -> None:
    """Keep a copy of everything that goes through the broker's exchanges."""
    channel = await broker.channel()
    queue = await channel.declare_queue(exclusive=True)
    for exchange in (WORK, QUARANTINE, DEAD, RECEIPTS):
        await queue.bind(exchange, "#")

    async def keep(message: Any) -> None:
        envelopes.append(message.body + repr(message.headers).encode())

    await queue.consume(keep, no_ack=True)


async def _register(watch: Birdwatch) -> None:
    """A person with a device that connects, and a webhook that nobody answers."""
    person = {"email": f"ok+{watch.canaries.mail}@example.com", "phone": PHONES[0]}
    await watch.ask("PUT", "/api/v1/users/bird", 201, json=person)
    wish = {"app_bundle_id": BUNDLE, "platform": "journey", "user": "bird"}
    told = await watch.ask("POST", "/api/v1/devices/register", 201, json=wish)
    watch.device_token = told.json()["token"]
    hook = {"url": "http://127.0.0.1:9/", "events": ["notification.delivery.sent", "notification.delivery.failed"]}
    await watch.ask("POST", "/api/v1/webhooks", 201, json={**hook, "secret": watch.canaries.webhook_secret})


async def _send(watch: Birdwatch) -> None:
    """To everybody whose provider has something to say, and to the person on all channels."""
    words = {"title": watch.canaries.words, "body": f"{watch.canaries.words} {watch.canaries.otp}"}
    code = {"template": "login_code", "data": {"code": watch.canaries.otp, "minutes": 5}}
    for script in MAILS:
        to = {"email": f"{script}+{watch.canaries.mail}@example.com"}
        await watch.ask("POST", SENDING, 202, json={"to": to, **code, "channels": ["email"]})
    for phone in PHONES:
        await watch.ask("POST", SENDING, 202, json={"to": {"phone": phone}, "content": words, "channels": ["sms"]})
    await watch.ask("POST", SENDING, 202, json={"to": {"user": "bird"}, **code})
    await watch.ask("POST", SENDING, 202, json={"to": {"device_token": watch.device_token}, "content": words})


async def _be_refused(watch: Birdwatch) -> None:
    """By the API, for everything that it may be tempted to repeat."""
    canaries, keys = watch.canaries, watch.keys
    to, words = {"email": f"ok+{canaries.mail}@example.com"}, {"title": canaries.words, "body": canaries.otp}
    good: dict[str, Any] = {"to": to, "content": words}
    for broken in (
        {**good, "priority": keys.api_key},
        {**good, "note": canaries.otp},
        {**good, "to": {"email": f"{canaries.mail} @example.com"}},
        {**good, "to": {"phone": PHONES[0] + "x"}},
        {**good, "to": {"device_token": canaries.wrong_token, "phone": PHONES[0]}},
        {"to": to, "template": "no_such_one", "data": {"code": canaries.otp}},
        {"to": to, "template": "login_code", "data": {"code": canaries.otp * 3, "minutes": canaries.words}},
        {"to": to, "template": "login_code", "data": canaries.otp},
    ):
        await watch.ask("POST", SENDING, 422, json=broken)
    raw = json.dumps(good).encode()
    typed = {"content-type": "application/json"}
    await watch.ask("POST", SENDING, 400, content=raw[:-3], headers=typed)
    await watch.ask("POST", SENDING, 400, json=good, headers={"idempotency-key": f"a {canaries.otp}"})
    for wrong in (canaries.wrong_key, canaries.wrong_app_key, canaries.wrong_token):
        await watch.ask("POST", SENDING, 401, json=good, headers={"authorization": f"Bearer {wrong}"})
    await watch.ask("POST", SENDING, 403, json=good, headers={"authorization": f"Bearer {watch.run.app_key}"})
    await watch.ask(
        "POST", f"{SENDING}/device/{canaries.wrong_token}", 404, json={"payload": {"aps": {"alert": canaries.otp}}}
    )
    await watch.ask("GET", f"{SENDING}?email={to['email']}&key={keys.api_key}", 422)
    hook = {"url": f"https://me:{canaries.link}@example.com/", "events": ["x"], "secret": canaries.webhook_secret}
    await watch.ask("POST", "/api/v1/webhooks", 422, json=hook)
    await watch.ask("GET", f"/u/{canaries.link}", 404)
    await watch.ask("POST", f"/u/{canaries.link}", 404, content=b"List-Unsubscribe=One-Click", headers=FORM)


async def _knock_at_the_gateway(watch: Birdwatch) -> None:
    """With wrong words, and with the right ones, so that pushes are shown."""
    url, app_key, canaries = watch.run.gateway_url, watch.run.app_key, watch.canaries
    assert url is not None
    assert app_key is not None
    hello = {"type": "hello", "app_key": app_key, "token": canaries.wrong_token}
    for said in (
        hello,
        {**hello, "app_key": canaries.wrong_app_key, "token": watch.device_token},
        {**hello, "type": watch.device_token},
        {**hello, "last_seen": [watch.device_token]},
    ):
        with suppress(ConnectionClosed):
            async with asyncio.timeout(10), connect(url, proxy=None) as socket:
                await socket.send(json.dumps(said))
                async for frame in socket:
                    watch.answers.append(str(frame))
        watch.answers.append(f"{socket.close_code} {socket.close_reason}")
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"{url}?token={watch.device_token}", proxy=None)
    watch.answers.append(f"{refused.value.response.headers}{bytes(refused.value.response.body or b'')!r}")
    device = Device([url], app_key, watch.device_token)
    await device.come()

    async def is_shown() -> bool:
        return bool(device.shown)

    assert await until(is_shown, 20), watch.up.said()
    await device.stop()


async def _knock_at_the_door(watch: Birdwatch) -> None:
    """As an APNs client with a token of nobody's, and for a device of nobody's."""
    authority = watch.up.folder / CERTIFICATES / "door-ca.pem"
    payload = {"aps": {"alert": watch.canaries.otp}, "words": watch.canaries.words}
    async with a_provider(watch.run, authority) as provider:
        answers = [
            await provider.push(watch.canaries.wrong_token, payload),
            await provider.push(watch.device_token, payload, {"apns-expiration": watch.canaries.otp}),
            await provider.push(watch.device_token, {"words": watch.canaries.otp * 1000}),
            await provider.push(watch.device_token, payload, {"authorization": f"bearer {watch.canaries.wrong_key}"}),
        ]
    watch.answers += [f"{answer.headers}{answer.text}" for answer in answers]
    assert not any(answer.is_success for answer in answers), watch.answers[-4:]


async def _report(watch: Birdwatch) -> None:
    """As the SMS provider, which says more than it should; and as somebody who only wants to be it."""
    detail = f"{PHONES[0]} {watch.canaries.mail}@example.com {watch.canaries.wrong_token}"
    body = json.dumps({"message_id": "m-1", "status": "failed", "error": detail}).encode()
    typed = {"content-type": "application/json"}
    for secret, status in ((watch.keys.sms_callback_secret, 202), (watch.keys.secret_key, 401)):
        signature = sign(body, secret, message_id="msg_1", now=utc_now())
        await watch.ask("POST", "/callbacks/sms", status, content=body, headers={**typed, **signature})


async def _redis_keys(url: str) -> bytes:
    async with Redis.from_url(url) as client:
        return b"\n".join([key async for key in client.scan_iter(count=1000)])
