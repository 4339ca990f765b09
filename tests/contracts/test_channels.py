"""What every channel promises, held against each: email over SMTP, SMS over HTTP, the sink of test keys."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from channels.base import ChannelPort, Outcome, Outgoing, Sent
from channels.email.pool import SmtpServer
from channels.email.smtp import SmtpChannel
from channels.simulated import SimulatedChannel
from channels.sms.http import HttpSmsChannel
from domain.content import PushContent
from domain.errors import Ambiguous, Permanent, RecipientGone, Throttled, Transient
from domain.lanes import Channel
from domain.reasons import Reason
from tests.fakes import outgoing, simulated_providers

PHONES = {
    "ok": "+15550109999",
    "bounce": "+15550100001",
    "slow-1": "+15550100002",
    "reset": "+15550100003",
    "throttle": "+15550100004",
    "down": "+15550100005",
    "greylist-2": "+15550100012",
}


class Bench:
    """A channel to hold to the contract, how to address it, and what truly arrived."""

    def __init__(self, port: ChannelPort, taken: Callable[[], set[str]]) -> None:
        self.port = port
        self.taken = taken

    def to(self, script: str) -> Outgoing:
        """A delivery whose recipient is scripted so."""
        address = PHONES[script] if self.port.channel is Channel.SMS else f"{script}@example.com"
        return outgoing(address, channel=self.port.channel)

    async def send(self, *scripts: str) -> list[Outcome]:
        """One slice, one delivery for each script."""
        return await self.port.send([self.to(script) for script in scripts])


@asynccontextmanager
async def _bench(kind: str, folder: Path) -> AsyncIterator[Bench]:
    async with simulated_providers(folder) as providers:
        port: ChannelPort
        if kind == "sink":
            sink = SimulatedChannel(Channel.EMAIL)
            port, taken = sink, lambda: {str(each.id) for each in sink.taken}
        else:
            taken = lambda: set(providers.ledger().taken())  # noqa: E731 - both branches give one callable
            if kind == "email":
                server = SmtpServer.parse(providers.smtp_url)
                port = SmtpChannel(server, email_from="Carillon <hello@carillon.localhost>")
            else:
                port = HttpSmsChannel(providers.sms_url, sms_from="Carillon")
        await port.open()
        yield Bench(port, taken)
        await port.close()


@pytest.fixture(params=["email", "sms", "sink"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with _bench(request.param, tmp_path) as made:
        yield made


async def test_what_is_taken_is_sent_with_the_providers_id(bench: Bench) -> None:
    delivery = bench.to("ok")

    [outcome] = await bench.port.send([delivery])

    assert isinstance(outcome, Sent)
    assert outcome.provider == bench.port.provider
    assert outcome.provider_id
    assert outcome.duration_ms >= 0
    assert bench.taken() == {str(delivery.id)}


async def test_a_dead_address_is_gone_for_good(bench: Bench) -> None:
    [outcome] = await bench.send("bounce")

    assert isinstance(outcome, RecipientGone)
    assert outcome.reason is Reason.ADDRESS_REJECTED
    assert bench.taken() == set()


async def test_a_provider_out_of_order_is_transient_and_speaks_of_the_provider(bench: Bench) -> None:
    [outcome] = await bench.send("down")

    assert type(outcome) is Transient
    assert outcome.reason is Reason.PROVIDER_UNAVAILABLE


async def test_a_provider_that_asks_for_a_slower_pace_throttles(bench: Bench) -> None:
    [outcome] = await bench.send("throttle")

    assert isinstance(outcome, Throttled)
    assert outcome.reason is Reason.PROVIDER_THROTTLED


async def test_a_line_dropped_after_the_message_left_is_ambiguous_because_it_arrived(bench: Bench) -> None:
    delivery = bench.to("reset")

    [outcome] = await bench.port.send([delivery])

    assert isinstance(outcome, Ambiguous)
    assert outcome.reason is Reason.PROVIDER_SILENT
    assert bench.taken() == {str(delivery.id)}


async def test_a_greylisted_recipient_is_reached_at_the_third_try(bench: Bench) -> None:
    outcomes = [(await bench.send("greylist-2"))[0] for _ in range(3)]

    assert [isinstance(outcome, Transient) for outcome in outcomes] == [True, True, False]
    assert isinstance(outcomes[2], Sent)


async def test_outcomes_stand_in_the_order_of_the_slice(bench: Bench) -> None:
    outcomes = await bench.send("ok", "bounce", "slow-1", "down", "reset", "ok")

    assert [type(outcome) for outcome in outcomes] == [Sent, RecipientGone, Sent, Transient, Ambiguous, Sent]


async def test_an_empty_slice_has_no_outcomes(bench: Bench) -> None:
    assert await bench.port.send([]) == []


async def test_content_of_another_channel_is_never_sent(bench: Bench) -> None:
    if bench.port.provider == "simulated":
        pytest.skip("the sink takes what it is given")
    delivery = outgoing(bench.to("ok").address, channel=bench.port.channel, content=PushContent(b"{}"))

    [outcome] = await bench.port.send([delivery])

    assert isinstance(outcome, Permanent)
    assert bench.taken() == set()


async def test_a_slow_recipient_holds_nobody_else(bench: Bench) -> None:
    slow = asyncio.create_task(bench.send("slow-1"))

    async with asyncio.timeout(20):
        others = [await bench.send("ok") for _ in range(5)]

    assert all(isinstance(outcome, Sent) for [outcome] in others)
    assert not slow.done()
    await _cancelled(slow)


async def test_a_cancellation_is_never_swallowed_and_the_channel_lives_on(bench: Bench) -> None:
    delivery = bench.to("slow-1")
    task = asyncio.create_task(bench.port.send([delivery]))
    if bench.port.provider != "simulated":
        await _until(lambda: str(delivery.id) in bench.taken())
    else:
        await asyncio.sleep(0)

    await _cancelled(task)

    [outcome] = await bench.send("ok")
    assert isinstance(outcome, Sent)


async def test_a_provider_that_nobody_runs_is_transient(tmp_path: Path) -> None:
    async with simulated_providers(tmp_path) as providers:
        smtp_url, sms_url = providers.smtp_url, providers.sms_url
    email = SmtpChannel(SmtpServer.parse(smtp_url), email_from="hello@carillon.localhost")
    sms = HttpSmsChannel(sms_url, sms_from="Carillon")

    [mailed] = await email.send([outgoing("ok@example.com")])
    [texted] = await sms.send([outgoing(PHONES["ok"])])

    assert isinstance(mailed, Transient)
    assert isinstance(texted, Transient)
    await sms.close()


async def _cancelled(task: "asyncio.Task[list[Outcome]]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _until(holds: Callable[[], bool], *, timeout_s: float = 5.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not holds():
            await asyncio.sleep(0.01)
