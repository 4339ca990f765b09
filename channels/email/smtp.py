"""The email channel over SMTP: one message per conversation, pooled connections, every reply turned into our words.

What decides between `Transient` and `Ambiguous` is how far the conversation had come: once DATA was said, a lost
connection or a silence may hide an accepted message.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiosmtplib

from channels.base import Blip, Outcome, Outgoing, Sent, shorten
from channels.email import message, replies
from channels.email.pool import Connection, SmtpPool, SmtpServer
from channels.email.replies import Stage
from domain.clock import Clock, utc_now
from domain.content import EmailContent
from domain.errors import Ambiguous, DeliveryFailure, NotSent, Permanent, Transient
from domain.lanes import Channel
from domain.reasons import Reason

_YES = (250, 251)
_QUEUE_ID = re.compile(r"queued as:? <?([!-;=?-~]{1,200})", re.IGNORECASE)


@dataclass(slots=True)
class _Progress:
    """How far one conversation has come."""

    stage: Stage = Stage.WAIT


class SmtpChannel:
    """Email by one SMTP server. `timeout_s` bounds a whole send, from waiting for a connection to the last reply."""

    channel = Channel.EMAIL
    provider = "smtp"
    slice_size = 1

    def __init__(
        self,
        server: SmtpServer,
        *,
        email_from: str,
        connections: int = 16,
        timeout_s: float = 15.0,
        tls_context: ssl.SSLContext | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.timeout_s = timeout_s
        self._sender = message.Sender.parse(email_from)
        self._clock = clock
        self._pool = SmtpPool(
            server, size=connections, timeout_s=timeout_s, hello=self._sender.domain, tls_context=tls_context
        )

    @property
    def connections_opened(self) -> int:
        """How many connections were opened since the start."""
        return self._pool.opened

    async def open(self) -> None:
        """Nothing to do: connections open when they are needed."""

    async def close(self) -> None:
        """Say goodbye on idle connections."""
        await self._pool.close()

    async def send(self, slice_: Sequence[Outgoing]) -> list[Outcome]:
        """Send all side by side; outcomes stand in the order of the slice."""
        if len(slice_) == 1:
            return [await self._send_one(slice_[0])]
        return list(await asyncio.gather(*(self._send_one(outgoing) for outgoing in slice_)))

    async def _send_one(self, outgoing: Outgoing) -> Outcome:
        if not isinstance(outgoing.content, EmailContent):
            return Permanent(Reason.NO_CONTENT_FOR_CHANNEL, "not an email")
        begun_s = time.monotonic()
        try:
            raw = message.build(
                outgoing.content, to=outgoing.address, delivery_id=outgoing.id, sender=self._sender, now=self._clock()
            )
            answer = await self._converse(outgoing.address, raw)
        except DeliveryFailure as failure:
            return failure
        queue_id = _QUEUE_ID.search(answer)
        return Sent(
            provider=self.provider,
            provider_id=queue_id[1] if queue_id else message.message_id(outgoing.id, self._sender).strip("<>"),
            answer=shorten(f"250 {answer}"),
            duration_ms=(time.monotonic() - begun_s) * 1000,
        )

    async def _converse(self, recipient: str, raw: bytes) -> str:
        progress = _Progress()
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._hand_over(recipient, raw, progress)
        except aiosmtplib.SMTPResponseException as error:
            raise _replied(error, progress.stage) from error
        except (aiosmtplib.SMTPTimeoutError, TimeoutError) as error:
            raise _silent(progress.stage) from error
        except (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPConnectError, OSError) as error:
            raise _lost(error, progress.stage) from error
        except aiosmtplib.SMTPException as error:  # STARTTLS or AUTH is wanted here and not offered there
            raise Transient(Reason.PROVIDER_CREDENTIALS, shorten(str(error))) from error
        except ValueError as error:  # the client refuses control characters in a command
            raise Permanent(Reason.ADDRESS_REJECTED, "address cannot be said in SMTP") from error

    async def _hand_over(self, recipient: str, raw: bytes, progress: _Progress) -> str:
        await self._pool.wait_for_place()
        progress.stage = Stage.CONNECT
        connection = await self._pool.take()
        clean = False
        try:
            answer = await self._dialogue(connection, recipient, raw, progress)
            clean = True
            return answer
        except aiosmtplib.SMTPResponseException as error:
            clean = 400 <= error.code <= 599 and error.code != 421  # 421: the server closes after it
            connection.needs_reset = True
            raise
        finally:
            self._pool.give_back(connection, clean=clean)

    async def _dialogue(self, connection: Connection, recipient: str, raw: bytes, progress: _Progress) -> str:
        client = connection.client
        progress.stage = Stage.MAIL
        await _say(client, b"MAIL", self._sender.address)
        progress.stage = Stage.RCPT
        await _say(client, b"RCPT", recipient)
        progress.stage = Stage.DATA
        return (await client.data(raw)).message


async def _say(client: aiosmtplib.SMTP, verb: bytes, address: str) -> None:
    """One command with an address that `is_plain_address`: the library would take it apart and put it together again.

    SMTPResponseException for any answer but a yes.
    """
    where = b"FROM:<" if verb == b"MAIL" else b"TO:<"
    answer = await client.execute_command(verb, where + address.encode("ascii") + b">")
    if answer.code not in _YES:
        raise aiosmtplib.SMTPResponseException(answer.code, answer.message)


def _replied(error: aiosmtplib.SMTPResponseException, stage: Stage) -> DeliveryFailure:
    if 400 <= error.code <= 599:
        return replies.failure(error.code, error.message, stage)
    if stage is Stage.DATA:
        return Ambiguous(Reason.PROVIDER_SILENT, shorten(f"unreadable reply after the message: {error.message}"))
    return Transient(Reason.PROVIDER_UNAVAILABLE, shorten(f"unreadable reply: {error.code} {error.message}"))


def _silent(stage: Stage) -> DeliveryFailure:
    if stage is Stage.DATA:
        return Ambiguous(Reason.PROVIDER_SILENT, "no answer in time after the message had left")
    if stage is Stage.WAIT:
        return NotSent(Reason.PROVIDER_UNAVAILABLE, "no connection was free in time")
    return Transient(Reason.PROVIDER_UNAVAILABLE, f"no answer in time at {stage.name.lower()}")


def _lost(error: Exception, stage: Stage) -> DeliveryFailure:
    if stage is Stage.DATA:
        return Ambiguous(Reason.PROVIDER_SILENT, "connection lost after the message had left")
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return Transient(Reason.PROVIDER_CREDENTIALS, shorten(f"TLS: {error}"))
    return Blip(Reason.PROVIDER_UNAVAILABLE, shorten(f"connection lost at {stage.name.lower()}: {error}"))
