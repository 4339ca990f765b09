"""The SMS channel over a generic HTTP provider: `POST {to, from, text, reference}` answered by 2xx `{message_id}`.

Once bytes of a request may have left, a lost connection or a silence may hide an accepted message: `Ambiguous`.
"""

import asyncio
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import httpx2

from channels.base import Blip, Outcome, Outgoing, Sent, shorten
from channels.sms import answers, segments
from domain.clock import Clock, utc_now
from domain.content import SmsContent
from domain.errors import Ambiguous, DeliveryFailure, Misconfigured, NotSent, Permanent
from domain.lanes import Channel
from domain.reasons import Reason

_MAX_ANSWER_BYTES = 64 * 1024
_CONNECT_TIMEOUT_S = 5.0


class HttpSmsChannel:
    """SMS by one HTTP provider. `timeout_s` bounds a whole send, from connecting to the last byte of the answer."""

    channel = Channel.SMS
    provider = "sms"
    slice_size = 1

    def __init__(
        self,
        url: str,
        *,
        sms_from: str,
        max_segments: int = 6,
        connections: int = 64,
        timeout_s: float = 10.0,
        clock: Clock = utc_now,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Misconfigured("CARILLON_SMS_URL is not of the form https://user:password@host/path")
        self.timeout_s = timeout_s
        self._url = url
        self._sms_from = sms_from
        self._max_segments = max_segments
        self._clock = clock
        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_TIMEOUT_S)),
            limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
            follow_redirects=False,
            trust_env=False,
        )

    async def open(self) -> None:
        """Nothing to do: connections open when they are needed."""

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def send(self, slice_: Sequence[Outgoing]) -> list[Outcome]:
        """Send all side by side; outcomes stand in the order of the slice."""
        return list(await asyncio.gather(*(self._send_one(outgoing) for outgoing in slice_)))

    async def _send_one(self, outgoing: Outgoing) -> Outcome:
        if not isinstance(outgoing.content, SmsContent):
            return Permanent(Reason.NO_CONTENT_FOR_CHANNEL, "not an SMS")
        begun_s = time.monotonic()
        try:
            segments.check(outgoing.content.text, max_segments=self._max_segments)
            status, body, headers = await self._ask(outgoing, outgoing.content.text)
        except DeliveryFailure as failure:
            return failure
        if not 200 <= status < 300:
            return answers.failure(status, body, headers, now=self._clock())
        identifier = answers.read_text(body, "message_id") or None
        return Sent(self.provider, identifier, str(status), (time.monotonic() - begun_s) * 1000)

    async def _ask(self, outgoing: Outgoing, text: str) -> tuple[int, bytes, httpx2.Headers]:
        document = {"to": outgoing.address, "from": self._sms_from, "text": text, "reference": str(outgoing.id)}
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._exchange(document, key=str(outgoing.id))
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise Blip(Reason.PROVIDER_UNAVAILABLE, shorten(f"cannot connect: {error}")) from error
        except httpx2.PoolTimeout as error:
            raise NotSent(Reason.PROVIDER_UNAVAILABLE, "no connection was free in time") from error
        except (httpx2.TimeoutException, TimeoutError) as error:
            raise Ambiguous(Reason.PROVIDER_SILENT, "no answer in time") from error
        except httpx2.HTTPError as error:
            raise Ambiguous(Reason.PROVIDER_SILENT, shorten(f"connection lost: {type(error).__name__}")) from error

    async def _exchange(self, document: dict[str, str], *, key: str) -> tuple[int, bytes, httpx2.Headers]:
        headers = {"Idempotency-Key": key, "Accept-Encoding": "identity"}
        async with self._client.stream("POST", self._url, json=document, headers=headers) as answer:
            body = bytearray()
            try:
                async for piece in answer.aiter_raw():
                    body += piece
                    if len(body) > _MAX_ANSWER_BYTES:
                        break
            except httpx2.HTTPError:
                if not answer.is_success:
                    return answer.status_code, b"", answer.headers
                raise
            return answer.status_code, bytes(body[:_MAX_ANSWER_BYTES]), answer.headers
