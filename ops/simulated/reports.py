"""The reports that the simulated SMS provider sends later: signed callbacks, tried again while the platform is away."""

import asyncio
import json
from uuid import uuid4

import httpx2

from channels.sms.callbacks import sign
from domain.clock import utc_now

_DELAY_S = 0.05
_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_AT_ONCE = 32
_TIMEOUT_S = 5.0


class Reporter:
    """Posts `{message_id, reference, status, error}` to `url`, signed with `secret`."""

    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._secret = secret
        self._client = httpx2.AsyncClient(timeout=_TIMEOUT_S, trust_env=False)
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self.reported = 0
        self.given_up = 0

    def report(self, message_id: str, reference: str, status: str) -> None:
        """Send one report, beside whatever else happens."""
        error = "" if status == "delivered" else "the phone is out of reach"
        document = {"message_id": message_id, "reference": reference, "status": status, "error": error}
        task = asyncio.create_task(self._deliver(json.dumps(document).encode()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what was not reported yet."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    async def _deliver(self, body: bytes) -> None:
        webhook_id = f"msg_{uuid4().hex}"
        for pause_s in (_DELAY_S, *_PAUSES_S):
            await asyncio.sleep(pause_s)
            async with self._places:
                if await self._post(body, webhook_id):
                    self.reported += 1
                    return
        self.given_up += 1

    async def _post(self, body: bytes, webhook_id: str) -> bool:
        headers = sign(body, self._secret, message_id=webhook_id, now=utc_now())
        try:
            answer = await self._client.post(
                self._url, content=body, headers={"Content-Type": "application/json", **headers}
            )
        except httpx2.HTTPError:
            return False
        return answer.is_success or (400 <= answer.status_code < 500 and answer.status_code != 429)
