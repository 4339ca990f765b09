"""The whole platform as a side: what is sent passes every gate, is written, queued and acknowledged."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from channels.push.wire import Frame, encode_frames, notification_frame
from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.errors import CarillonError
from domain.ids import uuid7
from ops.bench.peer import Kept
from ops.bench.posts import Post, Posted, post_all
from ops.bench.tokens import device_token
from ops.stack.database import connected
from ops.stack.home import Run
from ops.stack.parts import StackChoice
from ops.stack.platform import running
from ops.stack.seed import BUNDLE
from ops.stack.supervisor import Supervisor
from plumbing.broker.connection import connect
from plumbing.broker.publisher import Publisher
from plumbing.settings import Settings

ALERT = {"aps": {"alert": {"title": "Your parcel", "body": "It has left the warehouse and comes tomorrow."}}}
_REGISTERED = (200, 201)
_TRIES = 5
_FULL_S = 0.02
_LOOK_EVERY_S = 0.25
_LIFE = timedelta(hours=1)


class NotMeasurable(CarillonError):
    """The platform did not do what the benchmark needs of it."""


class PlatformSide:
    """Carillon, all roles on this machine."""

    name = "Carillon"
    offers = False
    """The gateway does not compress, so its clients do not offer it."""

    patience_s = 40.0

    def __init__(self, run: Run, publisher: Publisher, supervisor: Supervisor) -> None:
        if run.gateway_url is None or run.app_key is None:
            raise NotMeasurable("what runs here has no gateway")
        self.url, self.api_url, self.app_key = run.gateway_url, run.api_url, run.app_key
        self.run, self.supervisor, self._publisher = run, supervisor, publisher
        self._headers = (("Authorization", f"Bearer {run.api_key}"),)
        self._devices: list[UUID] = []

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What every request of the sender's bears."""
        return self._headers

    @property
    def pids(self) -> dict[str, int]:
        """Every role, server and simulator; ourselves we are not among them."""
        return {name.removesuffix("-1"): pid for name, pid in self.run.pids.items() if name != "up"}

    @property
    def pid(self) -> int:
        """The gateway's process."""
        return self.run.pids["gateway-1"]

    async def register(self, run: str, devices: int, *, has_users: bool = False) -> None:
        """Every device by its own REST call, as apps do it; with `has_users` each belongs to the user of its number."""
        posts = [
            Post("/api/v1/devices/register", _registration(run, number, has_user=has_users), self._headers)
            for number in range(devices)
        ]
        answers: dict[int, Posted] = {}
        for _ in range(_TRIES):
            waiting = [number for number in range(devices) if number not in answers]
            told = await post_all(self.api_url, [posts[number] for number in waiting])
            answers |= {n: answer for n, answer in zip(waiting, told, strict=True) if answer.status in _REGISTERED}
        if len(answers) < devices:
            raise NotMeasurable(f"{devices - len(answers)} devices could not be registered")
        self._devices = [UUID(json.loads(answers[number].body)["device_id"]) for number in range(devices)]

    def post(self, run: str, number: int) -> Post:
        """A notification by REST for one device."""
        alert = ALERT["aps"]["alert"]
        words = {"title": alert["title"], "body": alert["body"]}
        to = {"device_token": device_token(run, number)}
        wish = {"to": to, "content": words, "channels": ["push"], "category": "general", "priority": "high"}
        return Post("/api/v1/notifications", json.dumps(wish).encode(), self._headers)

    def sent_id(self, post: Post, posted: Posted) -> str | None:  # noqa: ARG002  # the answer says it
        """The delivery's id."""
        return str(json.loads(posted.body)["deliveries"][0]["id"]) if posted.status == 202 else None

    async def kept(self, names: Collection[str]) -> Kept:
        """Their deliveries by status, when all are final or patience is over."""
        deadline, query = time.monotonic() + self.patience_s, "SELECT id, status FROM deliveries WHERE id = ANY($1)"
        final = DeliveryStatus.DELIVERED
        async with connected(self.run.database_url) as conn:
            while True:
                rows = await conn.fetch(query, [UUID(name) for name in names])
                if all(row["status"] == final.code for row in rows) or time.monotonic() > deadline:
                    break
                await asyncio.sleep(_LOOK_EVERY_S)
        return Kept({str(row["id"]): DeliveryStatus.of(row["status"]).value for row in rows}, frozenset({final}))

    async def blast(self, run: str, devices: int, frames: int) -> None:  # noqa: ARG002  # it knows its devices
        """Put the frames into the gateway's queue, as workers do; made beforehand, so that only they are measured."""
        bodies = await asyncio.to_thread(_bodies, self._devices, frames)
        for body in bodies:
            while not await self._publisher.publish_to_all_nodes(body):  # noqa: ASYNC110  # its queue is full
                await asyncio.sleep(_FULL_S)


def user_of(run: str, number: int) -> str:
    """The sender's id of the user of device `number`."""
    return f"bench-{run}-{number}"


def _registration(run: str, number: int, *, has_user: bool) -> bytes:
    whose = {"user": user_of(run, number)} if has_user else {}
    device = {"token": device_token(run, number), "app_bundle_id": BUNDLE, "platform": "bench"}
    return json.dumps({**device, **whose}).encode()


def _bodies(devices: list[UUID], frames: int) -> list[bytes]:
    expires_at = utc_now() + _LIFE
    payload = json.dumps(ALERT).encode()
    until_s = time.time() + _LIFE.total_seconds()

    def frame(device: UUID) -> Frame:
        delivery = uuid7()
        body = notification_frame(
            delivery_id=delivery,
            payload=payload,
            wake=10,
            collapse_id=None,
            topic=None,
            expires_at=expires_at,
            stored=False,
        )
        return Frame(device.bytes, delivery.bytes, 10, None, until_s, body)

    return encode_frames(frame(devices[number % len(devices)]) for number in range(frames))


@asynccontextmanager
async def a_platform(
    settings: Settings, folder: Path, *, stack: StackChoice = StackChoice.AUTO
) -> AsyncIterator[PlatformSide]:
    """The platform in `folder`, on servers of its own, whatever URLs are set."""
    own = settings.model_copy(
        update={"data_path": folder, "database_url": None, "redis_url": None, "amqp_url": None, "smtp_url": None}
    )
    async with running(own, choice=stack, port=None, say=lambda _: None) as platform:
        if platform.run is None:
            raise NotMeasurable("the platform is not up")
        connection = await connect(platform.run.amqp_url, "carillon bench")
        try:
            yield PlatformSide(platform.run, await Publisher.open(connection), platform.supervisor)
        finally:
            await connection.close()
