"""Email over real SMTP on loopback: what arrives, how connections are kept, and servers that mean harm."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest

from channels.base import Blip, Outcome, Sent
from channels.email.pool import SmtpServer
from channels.email.smtp import SmtpChannel
from domain.content import EmailContent
from domain.errors import Ambiguous, NotSent, Permanent, Transient
from domain.reasons import Reason
from ops.simulated.ledger import Ledger
from ops.simulated.smtp import SimulatedSmtp
from tests.fakes import outgoing, simulated_providers

FROM = "Carillon <hello@carillon.localhost>"
Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def smtp(tmp_path: Path) -> AsyncIterator[SimulatedSmtp]:
    async with simulated_providers(tmp_path) as providers:
        yield providers.smtp


@pytest.fixture
async def channel(smtp: SimulatedSmtp) -> AsyncIterator[SmtpChannel]:
    made = SmtpChannel(SmtpServer("127.0.0.1", smtp.port), email_from=FROM, connections=2)
    yield made
    await made.close()


async def arrived(smtp: SimulatedSmtp, channel: SmtpChannel, content: EmailContent) -> EmailMessage:
    [outcome] = await channel.send([outgoing("ok@example.com", content=content)])
    assert isinstance(outcome, Sent)
    message = message_from_bytes(smtp.received[-1], policy=default)
    assert isinstance(message, EmailMessage)
    return message


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    content = part.get_content()
    assert isinstance(content, str)
    return content


async def test_a_message_arrives_as_it_was_meant(smtp: SimulatedSmtp, channel: SmtpChannel) -> None:
    subject = "Größe ✓ " + "ü" * 292
    link = "https://carillon.localhost/u/" + "t" * 200
    delivery = outgoing("ok@example.com", content=EmailContent(subject, "Plain ✓\n", "<p>Rich ✓</p>\n", link))

    [outcome] = await channel.send([delivery])

    message = message_from_bytes(smtp.received[-1], policy=default)
    assert isinstance(outcome, Sent)
    assert isinstance(message, EmailMessage)
    assert outcome.provider_id is not None
    assert outcome.answer.endswith(f"queued as {outcome.provider_id}")
    assert message["Subject"] == subject
    assert message["Message-ID"] == f"<{delivery.id}@carillon.localhost>"
    assert message["X-Carillon-Delivery"] == str(delivery.id)
    assert message["List-Unsubscribe"] == f"<{link}>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert body(message, "plain").strip() == "Plain ✓"
    assert body(message, "html").strip() == "<p>Rich ✓</p>"


@pytest.mark.parametrize(
    "text",
    [
        ".\n",
        "before\n.\nafter\n",
        "..\n...\n.leading\n",
        "before\r\n.\r\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<you@example.com>\r\nDATA\r\nsmuggled\r\n",
        "bare\n.\r\nMAIL FROM:<evil@example.com>\n",
        "bare\r.\rMAIL FROM:<evil@example.com>\r",
        "long " * 400 + "\n",
    ],
)
async def test_no_body_ends_the_message_early_or_says_commands(
    smtp: SimulatedSmtp, channel: SmtpChannel, text: str
) -> None:
    message = await arrived(smtp, channel, EmailContent("Dots", text, f"<pre>{text}</pre>"))

    assert body(message, "plain").splitlines() == text.splitlines()
    assert len(smtp.received) == 1
    assert b"\n" not in smtp.received[0].replace(b"\r\n", b"")


async def test_an_address_with_a_command_in_it_is_never_said(smtp: SimulatedSmtp, channel: SmtpChannel) -> None:
    [outcome] = await channel.send([outgoing("a@b.c\r\nRCPT TO:<evil@example.com>")])

    assert isinstance(outcome, Permanent)
    assert outcome.reason is Reason.ADDRESS_REJECTED
    assert smtp.greetings == 0


async def test_connections_are_kept_and_never_more_than_allowed(smtp: SimulatedSmtp, channel: SmtpChannel) -> None:
    outcomes = await channel.send([outgoing("ok@example.com") for _ in range(20)])
    again = await channel.send([outgoing("ok@example.com")])

    assert all(isinstance(outcome, Sent) for outcome in outcomes + again)
    assert smtp.greetings == channel.connections_opened == 2


async def test_who_waits_in_vain_for_a_connection_was_not_sent(smtp: SimulatedSmtp) -> None:
    channel = SmtpChannel(SmtpServer("127.0.0.1", smtp.port), email_from=FROM, connections=1, timeout_s=0.5)

    outcomes = await channel.send([outgoing("slow-9@example.com"), outgoing("ok@example.com")])

    assert [type(outcome) for outcome in outcomes] == [Ambiguous, NotSent]


async def test_a_refusal_leaves_the_connection_fit_for_the_next(smtp: SimulatedSmtp, channel: SmtpChannel) -> None:
    for address in ("bounce@example.com", "ok@example.com", "greylist@example.com", "ok@example.com"):
        await channel.send([outgoing(address)])

    assert smtp.greetings == 1
    assert len(smtp.received) == 2


async def test_a_connection_that_the_server_dropped_meanwhile_is_replaced(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    first = await SimulatedSmtp(ledger).start()
    channel = SmtpChannel(SmtpServer("127.0.0.1", first.port), email_from=FROM)
    await channel.send([outgoing("ok@example.com")])
    await first.close()
    second = await SimulatedSmtp(ledger).start(port=first.port)

    [outcome] = await channel.send([outgoing("ok@example.com")])

    assert isinstance(outcome, Sent)
    await channel.close()
    await second.close()
    await ledger.close()


@asynccontextmanager
async def hostile(conversation: Conversation) -> AsyncIterator[SmtpChannel]:
    tasks: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await conversation(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    channel = SmtpChannel(SmtpServer("127.0.0.1", port), email_from=FROM, timeout_s=1.0)
    yield channel
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await channel.close()


async def stubborn(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: dict[bytes, bytes]) -> None:
    """Answer by the first four letters of a command; b"" says nothing, for ever; missing ones hear 250."""
    writer.write(b"220 here\r\n")
    while line := await reader.readline():
        answer = answers.get(line[:4].upper(), b"250 fine\r\n")
        if line[:4].upper() == b"DATA" and answer.startswith(b"354"):
            writer.write(b"354 go\r\n")
            await reader.readuntil(b"\r\n.\r\n")
            answer = answer.removeprefix(b"354")
        if not answer:
            await asyncio.get_running_loop().create_future()
        if answer == b"hang up":
            return
        writer.write(answer)
        await writer.drain()


async def outcome_of(conversation: Conversation) -> Outcome:
    async with hostile(conversation) as channel, asyncio.timeout(20):
        [outcome] = await channel.send([outgoing("ok@example.com")])
        return outcome


async def test_an_endless_banner_is_cut_off() -> None:
    written = 0

    async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        while True:
            writer.write(b"220-" + b"x" * 1000 + b"\r\n")
            written += 1006
            await writer.drain()

    outcome = await outcome_of(endless)

    assert isinstance(outcome, Transient)
    assert written < 64 * 1024 * 1024


async def test_a_line_without_end_is_cut_off() -> None:
    async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"2" * 65536)
            await writer.drain()

    assert isinstance(await outcome_of(endless), Transient)


async def test_a_silence_before_the_message_left_is_transient() -> None:
    outcome = await outcome_of(lambda reader, writer: stubborn(reader, writer, {b"RCPT": b""}))

    assert type(outcome) is Transient
    assert outcome.reason is Reason.PROVIDER_UNAVAILABLE


async def test_a_line_dropped_before_the_message_left_is_a_blip() -> None:
    outcome = await outcome_of(lambda reader, writer: stubborn(reader, writer, {b"MAIL": b"hang up"}))

    assert isinstance(outcome, Blip)


@pytest.mark.parametrize("answer", [b"", b"hang up", b"what?\r\n", b"250-" + b"x" * 40_000])
async def test_silence_loss_or_nonsense_after_the_message_left_is_ambiguous(answer: bytes) -> None:
    outcome = await outcome_of(lambda reader, writer: stubborn(reader, writer, {b"DATA": b"354" + answer}))

    assert isinstance(outcome, Ambiguous)
    assert outcome.reason is Reason.PROVIDER_SILENT


async def test_a_refusal_of_the_message_itself_is_believed() -> None:
    refusing = {b"DATA": b"354554 5.6.0 no\r\n"}

    outcome = await outcome_of(lambda reader, writer: stubborn(reader, writer, refusing))

    assert isinstance(outcome, Permanent)
    assert outcome.reason is Reason.CONTENT_REJECTED


async def test_plaintext_pushed_in_front_of_tls_is_not_read_as_an_answer() -> None:
    answers = {
        b"EHLO": b"250-here\r\n250 STARTTLS\r\n",
        b"STAR": b"220 go\r\n250 fine\r\n250 fine\r\n354 go\r\n250 queued as injected\r\n",
    }

    outcome = await outcome_of(lambda reader, writer: stubborn(reader, writer, answers))

    assert isinstance(outcome, Transient)
