"""The courier: claims what is to be told, tells it, writes what came of it; several may run, in as many processes.

At least once: whoever dies between the answer and its note has told it, and it is told again under the same id. One
webhook never has more than a few messages under way, so a slow one keeps nobody else waiting.
"""

import asyncio
import time
from collections import Counter
from random import Random
from uuid import UUID

import asyncpg
import structlog

from channels.sms.answers import retry_after_s
from domain.clock import Clock, utc_now
from domain.errors import CarillonError, Misconfigured
from domain.ids import uuid7
from domain.outside import UrlRefused
from domain.webhooks import TellingOutcome, Verdict, judge
from plumbing import metrics
from plumbing.failpoints import Failpoint, reach
from plumbing.listening import LISTENING
from plumbing.outside import Answered, Outside, OutsideError
from plumbing.role import STALE_S
from plumbing.secrets import Box
from plumbing.signatures import sign
from tracking.webhooks.messages import AT_ONCE_EACH, Attempted, Message, claim, settle
from workers.webhooks.words import body_of

AT_ONCE = 32
LOOK_EVERY_S = 1.0
ANSWER_KEPT = 500
MOST_UNHEARD = 3
"""So many processes may be lost over one message, and then it has failed: what ends its process would end the next."""

_HEADERS = {"Content-Type": "application/json", "User-Agent": "Carillon"}

log = structlog.get_logger(__name__)


class Courier:
    """Tells webhooks until it is cancelled; what it has begun then is told by the next one."""

    def __init__(
        self, pool: asyncpg.Pool, outside: Outside, box: Box, *, clock: Clock = utc_now, rng: Random | None = None
    ) -> None:
        self._pool = pool
        self._outside = outside
        self._box = box
        self._clock = clock
        self._rng = rng or Random()
        self._busy: Counter[UUID] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_free = asyncio.Event()
        self.turned_s = time.monotonic()
        """When it last looked (monotonic); the watchdog reads it."""

    async def run(self) -> None:
        """Look for what is due every second, and as soon as something was told."""
        try:
            while True:
                self.turned_s = time.monotonic()
                self._is_free.clear()
                begun = await self._begin_if_possible()
                if begun and len(self._tasks) < AT_ONCE:
                    continue
                try:
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._is_free.wait()
                except TimeoutError:
                    pass
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def trouble(self) -> str | None:
        """What does not work at this moment, for the watchdog."""
        return "the courier of webhooks has not moved" if time.monotonic() - self.turned_s > STALE_S else None

    async def turn(self) -> int:
        """Begin what is due now, and wait until it is told; how many."""
        begun = await self._begin()
        await asyncio.gather(*self._tasks)
        return begun

    async def _begin_if_possible(self) -> int:
        if not LISTENING.is_on or len(self._tasks) >= AT_ONCE:
            return 0
        try:
            return await self._begin()
        except CarillonError as error:
            log.warning("webhooks.postponed", error=str(error))
            return 0

    async def _begin(self) -> int:
        free = {webhook: AT_ONCE_EACH - busy for webhook, busy in self._busy.items()}
        messages = await claim(self._pool, free=free, limit=AT_ONCE - len(self._tasks))
        for message in messages:
            self._busy[message.webhook_id] += 1
            task = asyncio.create_task(self._tell(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return len(messages)

    async def _tell(self, message: Message) -> None:
        attempt_id = uuid7()
        try:
            verdict, attempted = await self._attempt(message, attempt_id)
            reach(Failpoint.WEBHOOK_AFTER_SEND)
            await settle(self._pool, message, attempted, verdict)
            _note(message, attempted, verdict)
        except CarillonError as error:  # its lease runs out, and it is told again
            log.warning("webhook.not_noted", message_id=str(message.id), error=str(error))
        except Exception:
            log.exception("webhook.not_told", message_id=str(message.id))
        finally:
            self._busy -= Counter({message.webhook_id: 1})
            self._is_free.set()

    async def _attempt(self, message: Message, attempt_id: UUID) -> tuple[Verdict, Attempted]:
        if message.unheard > MOST_UNHEARD:
            deadly = Attempted(attempt_id, None, None, f"{MOST_UNHEARD} processes were lost while they told it", 0.0)
            return Verdict(TellingOutcome.FAILED), deadly
        body = body_of(message)
        if body is None:
            gone = Attempted(attempt_id, None, None, "the delivery is kept no longer", 0.0)
            return Verdict(TellingOutcome.FAILED), gone
        begun_s = time.monotonic()
        answer: Answered | None = None
        words: str | None = None
        try:
            answer = await self._post(message, body)
        except (OutsideError, UrlRefused, Misconfigured) as error:
            words = str(error)
        now = self._clock()
        verdict = judge(
            answer.status if answer is not None else None,
            attempts=message.attempts,
            retry_after_s=retry_after_s(answer.headers.get("retry-after"), now=now) if answer is not None else None,
            failing_since=message.failing_since,
            now=now,
            rng=self._rng,
        )
        duration_ms = (time.monotonic() - begun_s) * 1000
        status = answer.status if answer is not None else None
        return verdict, Attempted(attempt_id, status, _readable(answer), words, duration_ms)

    async def _post(self, message: Message, body: bytes) -> Answered:
        """The URL is judged again, its name resolved again: both rules and names change."""
        target = self._outside.read(message.url)
        secrets = [self._box.open(message.tenant_id, sealed) for sealed in message.secrets_sealed]
        headers = sign(secrets, str(message.id), int(self._clock().timestamp()), body)
        return await self._outside.post(target, body, {**_HEADERS, **headers})


def _readable(answer: Answered | None) -> str | None:
    """The first characters of an answer, as PostgreSQL can keep them."""
    if answer is None or not answer.body:
        return None
    return answer.body[: 4 * ANSWER_KEPT].decode("utf-8", "replace").replace("\0", "\ufffd")[:ANSWER_KEPT]


def _note(message: Message, attempted: Attempted, verdict: Verdict) -> None:
    metrics.WEBHOOK_ATTEMPTS.labels(outcome=verdict.outcome).inc()
    if verdict.disabled is not None:
        log.warning("webhook.disabled", webhook_id=str(message.webhook_id), reason=verdict.disabled)
    log.info(
        "webhook.told",
        webhook_id=str(message.webhook_id),
        tenant_id=str(message.tenant_id),
        message_id=str(message.id),
        attempt=message.attempts,
        outcome=verdict.outcome,
        status_code=attempted.status_code,
        duration_ms=round(attempted.duration_ms, 1),
    )
