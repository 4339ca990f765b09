"""Calls to where strangers want us: only public addresses, the one that was checked, no redirects, within bounds."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from domain.outside import Target
from plumbing.outside import MAX_BODY_BYTES, Outside, OutsideError
from tests.integration.webhooks.receiver import Receiver, Reply
from tests.integration.workers.stage import eventually


class Resolver:
    """A name server by script: each question takes one answer, and the last one stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@asynccontextmanager
async def calls(receiver: Receiver, resolver: Resolver, inside: str = "") -> AsyncIterator[Outside]:
    async with Outside(
        inside, resolve=resolver, verify=receiver.trust, head_within_s=2.0, body_within_s=0.5
    ) as outside:
        yield outside


async def has_hung_up(receiver: Receiver) -> bool:
    """Whether the server was left, which writes for as long as somebody reads."""
    return receiver.in_flight == 0


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        ["10.0.0.8"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:169.254.169.254"],
        ["64:ff9b::a9fe:a9fe"],
        ["fd00:ec2::254"],
        ["93.184.215.14", "127.0.0.1"],
        ["2606:2800:21f:cb07:6820:80da:af6b:8b2c", "fe80::1"],
    ],
)
async def test_a_name_with_one_address_inside_is_not_called_at_all(receiver: Receiver, answers: list[str]) -> None:
    async with calls(receiver, Resolver(answers)) as outside:
        with pytest.raises(OutsideError, match="not of the public internet") as error:
            await outside.post(outside.read("https://localtest.example/hook"), b"{}", {})

    assert error.value.is_refused
    assert receiver.taken == []


async def test_a_name_that_points_elsewhere_by_now_is_judged_again_at_each_call(receiver: Receiver) -> None:
    resolver = Resolver(["93.184.215.14"], ["127.0.0.1"])
    async with calls(receiver, resolver) as outside:
        target = outside.read("https://rebound.example/hook")
        first = await outside.addresses(target)

        with pytest.raises(OutsideError, match="not of the public internet"):
            await outside.post(target, b"{}", {})

    assert first == ["93.184.215.14"]
    assert receiver.taken == []


async def test_the_connection_goes_to_the_address_that_was_checked_whatever_the_name_says_next(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked once per call; nobody below asks again, and the certificate is still that of the name."""
    resolver = Resolver(["127.0.0.1"], ["192.0.2.1"])
    looked_up: list[object] = []
    real = socket.getaddrinfo

    def noting(host: str, port: int, **named: Any) -> Any:
        looked_up.append(host)
        return real(host, port, **named)

    monkeypatch.setattr(socket, "getaddrinfo", noting)
    async with calls(receiver, resolver, inside="localhost") as outside:
        answered = await outside.post(outside.read(receiver.url), b"{}", {})

    assert answered.status == 200
    assert resolver.asked == ["localhost"]
    assert "localhost" not in looked_up
    assert receiver.taken[0].headers["host"] == f"localhost:{receiver.port}"


async def test_a_server_with_a_certificate_of_another_name_is_not_told(receiver: Receiver) -> None:
    async with calls(receiver, Resolver(["127.0.0.1"]), inside="other.example") as outside:
        with pytest.raises(OutsideError, match="cannot connect"):
            await outside.post(outside.read(f"https://other.example:{receiver.port}/hook"), b"{}", {})

    assert receiver.taken == []


async def test_a_redirect_is_an_answer_and_is_not_followed(receiver: Receiver) -> None:
    receiver.usual = Reply(302, headers={"location": "http://169.254.169.254/latest/meta-data"})
    async with calls(receiver, Resolver(["127.0.0.1"]), inside="localhost") as outside:
        answered = await outside.post(outside.read(receiver.url), b"{}", {})

    assert answered.status == 302
    assert len(receiver.taken) == 1


@pytest.mark.parametrize("how", ["endless", "drip"])
async def test_an_endless_answer_is_cut_at_its_size_or_time(receiver: Receiver, how: str) -> None:
    receiver.usual = Reply(200, how=how)
    async with calls(receiver, Resolver(["127.0.0.1"]), inside="localhost") as outside, asyncio.timeout(5):
        answered = await outside.post(outside.read(receiver.url), b"{}", {})

    assert answered.status == 200
    assert 0 < len(answered.body) <= MAX_BODY_BYTES
    await eventually(lambda: has_hung_up(receiver))


async def test_ten_gigabytes_that_are_promised_are_not_read(receiver: Receiver) -> None:
    receiver.usual = Reply(200, headers={"content-length": str(10 * 2**30)}, how="endless")
    async with calls(receiver, Resolver(["127.0.0.1"]), inside="localhost") as outside, asyncio.timeout(5):
        answered = await outside.post(outside.read(receiver.url), b"{}", {})

    assert len(answered.body) == MAX_BODY_BYTES
    await eventually(lambda: has_hung_up(receiver))


async def test_the_second_address_is_tried_where_the_first_takes_no_connection(receiver: Receiver) -> None:
    async with calls(receiver, Resolver(["127.0.0.2", "127.0.0.1"]), inside="localhost") as outside:
        answered = await outside.post(outside.read(receiver.url), b"{}", {})

    assert answered.status == 200


async def test_a_name_without_an_address_is_told_as_such(receiver: Receiver) -> None:
    async def nobody(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with Outside("", resolve=nobody) as outside:
        with pytest.raises(OutsideError, match="does not resolve"):
            await outside.addresses(Target("https://nowhere.example/", "https", "nowhere.example", 443, "/"))


@pytest.mark.parametrize("host", ["0x7f000001", "2130706433", "127.1", "0177.0.0.1", "localhost", "１２７.0.0.1"])
async def test_the_real_resolver_s_own_ideas_of_an_address_are_checked_too(host: str) -> None:
    """Whatever form slipped through the rules for URLs: what counts is the address it resolves to."""
    async with Outside() as outside:
        with pytest.raises(OutsideError):
            await outside.addresses(Target(f"https://{host}/", "https", host, 443, "/"))
