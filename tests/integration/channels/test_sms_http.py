"""SMS over real HTTP on loopback: what is asked, reports that come back, and servers that mean harm."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from channels.base import Outcome, Sent
from channels.sms.callbacks import parse, verify
from channels.sms.http import HttpSmsChannel
from domain.clock import utc_now
from domain.content import SmsContent
from domain.errors import Ambiguous, Permanent, RecipientGone, Throttled, Transient
from domain.reasons import Reason
from domain.receipts import ReceiptKind
from ops.simulated.ledger import Ledger, LedgerOutcome, LedgerReader
from tests.fakes import outgoing, simulated_providers

PHONE = "+15550109999"
SECRET = "a callback secret of this test"
Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(conversation: Conversation) -> AsyncIterator[str]:
    """A server that speaks raw bytes; yields its URL."""
    tasks: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            await conversation(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/callbacks/sms"
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def request_from(reader: asyncio.StreamReader) -> tuple[dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    return headers, await reader.readexactly(int(headers["content-length"]))


async def outcome_of(raw_answer: bytes, *, then_wait: bool = False) -> Outcome:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_from(reader)
        writer.write(raw_answer)
        await writer.drain()
        if then_wait:
            await asyncio.get_running_loop().create_future()
        writer.close()
        await writer.wait_closed()

    async with serving(conversation) as url, asyncio.timeout(20):
        channel = HttpSmsChannel(url, sms_from="Carillon", timeout_s=1.0)
        [outcome] = await channel.send([outgoing(PHONE)])
        await channel.close()
        return outcome


async def test_the_request_carries_the_words_the_reference_and_a_key_against_doubles() -> None:
    seen: list[tuple[dict[str, str], bytes]] = []

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await request_from(reader))
        writer.write(b'HTTP/1.1 202 Accepted\r\nContent-Length: 19\r\n\r\n{"message_id": "7"}')
        await writer.drain()

    delivery = outgoing(PHONE, content=SmsContent("Hello ✓"))
    async with serving(conversation) as url:
        channel = HttpSmsChannel(url, sms_from="Carillon")
        [outcome] = await channel.send([delivery])
        await channel.close()

    [(headers, body)] = seen
    assert isinstance(outcome, Sent)
    assert outcome.provider_id == "7"
    assert headers["idempotency-key"] == str(delivery.id)
    assert json.loads(body) == {"to": PHONE, "from": "Carillon", "text": "Hello ✓", "reference": str(delivery.id)}


async def test_a_redirect_is_a_failure_and_is_not_followed() -> None:
    outcome = await outcome_of(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")

    assert isinstance(outcome, Permanent)
    assert outcome.reason is Reason.PROVIDER_REJECTED


async def test_a_wait_named_by_the_provider_is_kept() -> None:
    outcome = await outcome_of(b"HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n")

    assert isinstance(outcome, Transient)
    assert outcome.retry_after_s == 120.0


async def test_a_429_throttles_and_a_410_forgets() -> None:
    assert isinstance(await outcome_of(b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n"), Throttled)
    assert isinstance(await outcome_of(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"), RecipientGone)


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"nonsense\r\n\r\n"])
async def test_a_line_lost_or_nonsense_said_after_the_request_is_ambiguous(raw: bytes) -> None:
    outcome = await outcome_of(raw)

    assert isinstance(outcome, Ambiguous)
    assert outcome.reason is Reason.PROVIDER_SILENT


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"])
async def test_a_silence_after_the_request_is_ambiguous(raw: bytes) -> None:
    assert isinstance(await outcome_of(raw, then_wait=True), Ambiguous)


async def test_a_huge_answer_is_cut_off_and_a_2xx_is_still_believed() -> None:
    body = b'{"message_id": "' + b"x" * 10_000_000 + b'"}'

    outcome = await outcome_of(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    assert isinstance(outcome, Sent)
    assert outcome.provider_id is None


async def test_a_text_of_too_many_segments_is_never_sent(tmp_path: Path) -> None:
    async with simulated_providers(tmp_path) as providers:
        channel = HttpSmsChannel(providers.sms_url, sms_from="Carillon", max_segments=6)
        [outcome] = await channel.send([outgoing(PHONE, content=SmsContent("x" * 1600))])
        await channel.close()

        assert isinstance(outcome, Permanent)
        assert outcome.reason is Reason.CONTENT_TOO_LARGE
        assert not providers.ledger().entries


@pytest.mark.parametrize(("phone", "kind"), [(PHONE, ReceiptKind.DELIVERED), ("+15550100006", ReceiptKind.FAILED)])
async def test_the_simulated_provider_reports_later_with_a_good_signature(
    tmp_path: Path, phone: str, kind: ReceiptKind
) -> None:
    reports: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()
    failures = iter([b"503 Busy", b"204 Fine"])

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        report = await request_from(reader)
        status = next(failures)
        if status.startswith(b"204"):
            await reports.put(report)
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    delivery = outgoing(phone)
    async with (
        serving(conversation) as url,
        simulated_providers(tmp_path, callback_url=url, callback_secret=SECRET) as providers,
        asyncio.timeout(20),
    ):
        channel = HttpSmsChannel(providers.sms_url, sms_from="Carillon")
        [outcome] = await channel.send([delivery])
        headers, body = await reports.get()
        await channel.close()

    assert isinstance(outcome, Sent)
    assert verify(headers, body, SECRET, utc_now())
    receipt = parse(body, now=utc_now())
    assert receipt is not None
    assert (receipt.kind, receipt.delivery_id, receipt.provider_id) == (kind, delivery.id, outcome.provider_id)


async def test_the_ledger_has_a_line_for_each_outcome_before_its_answer(tmp_path: Path) -> None:
    phones = (PHONE, "+15550100001", "+15550100003", "+15550100004", "+15550100005", "+15550100007")
    async with simulated_providers(tmp_path) as providers:
        channel = HttpSmsChannel(providers.sms_url, sms_from="Carillon")
        deliveries = [outgoing(phone) for phone in phones]
        await channel.send(deliveries)
        await channel.close()
        ledger = providers.ledger()

    assert set(ledger.outcomes()) == {
        LedgerOutcome.ACCEPTED,
        LedgerOutcome.REJECTED,
        LedgerOutcome.RESET,
        LedgerOutcome.THROTTLED,
        LedgerOutcome.DOWN,
        LedgerOutcome.HANGUP,
    }
    assert ledger.taken() == {str(deliveries[0].id): 1, str(deliveries[2].id): 1}
    assert ledger.of(str(deliveries[1].id))[0].recipient == phones[1]


async def test_a_torn_last_line_of_a_ledger_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    await ledger.record("sms", PHONE, LedgerOutcome.ACCEPTED, message_id="m", delivery_id="d")
    await ledger.close()
    path.write_bytes(path.read_bytes() + b'{"time": "20')

    assert len(LedgerReader.read(path).entries) == 1
    assert LedgerReader.read(tmp_path / "none.jsonl").entries == ()


async def test_the_providers_run_as_a_process_that_says_when_it_is_ready_and_ends_on_sigterm(tmp_path: Path) -> None:
    ledger = tmp_path / "deep" / "ledger.jsonl"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ops.simulated", "--ledger", str(ledger), "--callback-url", "http://127.0.0.1:9/x"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "CARILLON_SMS_CALLBACK_SECRET": SECRET},
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        facts = json.loads(await process.stdout.readline())
        channel = HttpSmsChannel(facts["sms_url"], sms_from="Carillon")
        delivery = outgoing(PHONE)
        [outcome] = await channel.send([delivery])
        await channel.close()
        process.send_signal(signal.SIGTERM)
        code = await process.wait()

    assert code == 0
    assert isinstance(outcome, Sent)
    assert facts["smtp_url"].startswith("smtp://127.0.0.1:")
    assert LedgerReader.read(ledger).taken() == {str(delivery.id): 1}
