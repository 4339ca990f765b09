"""A real server on loopback around the application, with a fake batcher where accept is not the matter."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast
from uuid import UUID

import uvicorn

from api.app import create_app
from api.auth import Key, Keys, Scope
from api.body import BodyLimits
from api.dependencies import House, Submits
from api.server import configure, listen
from domain.delivery import DeliveryStatus
from domain.errors import RequestRefused
from domain.ids import delivery_id, notification_id
from domain.lanes import Channel
from domain.notification import Mode, NotificationRequest, NotificationStatus
from fanout.cases import Accepted, BulkAccepted, IdempotencyKey, Item, PlannedDelivery, Sender
from plumbing.limiter import Answer as Spending
from plumbing.secrets import Seal, hash_api_key
from plumbing.settings import Settings

TENANT = UUID("01930b7a-6c00-7f2e-8a51-000000000001")
SECRET = "cn_live_" + "k" * 43
UNREACHED: Any = cast(Any, None)
"""Stands for what the routes under test never reach for."""


class FakeBatcher:
    """Accepts everything, remembers it, and replays by key as the real one does."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.bulks: list[list[NotificationRequest | RequestRefused]] = []
        self.failure: BaseException | None = None
        self.limit: Spending | None = None
        self._answers: dict[UUID, tuple[UUID, Accepted]] = {}

    async def submit(self, item: Item) -> Accepted:
        """Accept one."""
        if self.failure is not None:
            raise self.failure
        self.items.append(item)
        if item.key is not None and item.key.key in self._answers:
            fingerprint, first = self._answers[item.key.key]
            if fingerprint != item.key.fingerprint:
                raise RequestRefused("idempotency_key_reused", "this Idempotency-Key was used with another request")
            return replace(first, replayed=True, limit=None)
        accepted = replace(_accepted(), limit=self.limit)
        if item.key is not None:
            self._answers[item.key.key] = (item.key.fingerprint, accepted)
        return accepted

    async def submit_bulk(
        self, sender: Sender, requests: Sequence[NotificationRequest | RequestRefused], key: IdempotencyKey | None
    ) -> BulkAccepted:
        """Accept those that are requests."""
        if self.failure is not None:
            raise self.failure
        self.bulks.append(list(requests))
        return BulkAccepted([each if isinstance(each, RequestRefused) else _accepted() for each in requests])


def _accepted() -> Accepted:
    identifier = notification_id()
    planned = PlannedDelivery(delivery_id(identifier, 1), Channel.EMAIL, None, DeliveryStatus.QUEUED)
    return Accepted(identifier, NotificationStatus.ACCEPTED, (planned,))


class FreeLimiter:
    """Lets every key do what it likes."""

    async def spend(self, key: Key) -> dict[str, str]:
        """No headers."""
        return {}


@dataclass
class KeyRing:
    """Keys by their secret, as PostgreSQL would know them."""

    keys: dict[bytes, Key] = field(default_factory=dict)
    asked: int = 0

    def add(self, secret: str, *, tenant_id: UUID = TENANT, scopes: Sequence[str] = tuple(Scope)) -> Key:
        """A live key with these scopes."""
        key = Key(notification_id(), tenant_id, Mode.LIVE, secret[:12], frozenset(scopes))
        self.keys[hash_api_key(secret)] = key
        return key

    async def find(self, secret_hash: bytes) -> Key | None:
        """Look one up."""
        self.asked += 1
        return self.keys.get(secret_hash)


def make_house(batcher: Submits, ring: KeyRing, **changes: Any) -> House:
    """A house of fakes; `changes` put real rooms in. Who is given one pool reads from it too."""
    house = House(
        settings=Settings(_env_file=None),
        keys=Keys(ring.find),
        batcher=batcher,
        peek=UNREACHED,
        limiter=FreeLimiter(),
        seal=Seal("a secret key for tests, 32 bytes long"),
        hot_pool=UNREACHED,
        read_pool=UNREACHED,
        engine=UNREACHED,
        cache=UNREACHED,
        categories=UNREACHED,
        catalog=UNREACHED,
        apps=UNREACHED,
        origins=UNREACHED,
        tokens=UNREACHED,
        presence=UNREACHED,
        box=UNREACHED,
        publish_receipts=UNREACHED,
        nodes=UNREACHED,
        body_limits=BodyLimits(timeout_s=0.5),
    )
    return replace(house, **({"read_pool": changes.get("hot_pool", UNREACHED)} | changes))


@dataclass(frozen=True)
class Answer:
    """One answer, as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def pointers(self) -> list[str]:
        """The pointers of a problem."""
        return [error["pointer"] for error in self.json()["errors"]]


@dataclass
class Door:
    """A server that runs, and what stands behind it."""

    port: int
    batcher: FakeBatcher
    ring: KeyRing

    def connect(self) -> socket.socket:
        """A raw connection with a deadline."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)

    def raw(self, sent: bytes) -> Answer:
        """Send bytes as they are and read one answer."""
        with self.connect() as connection:
            connection.sendall(sent)
            return read_answer(connection)

    def post(
        self, body: object, path: str = "/api/v1/notifications", *, secret: str = SECRET, **headers: str
    ) -> Answer:
        """POST JSON; bytes are sent as they are."""
        return self.request("POST", path, body, secret=secret, **headers)

    def request(
        self, method: str, path: str, body: object = None, *, secret: str | None = SECRET, **headers: str
    ) -> Answer:
        """One request on a connection of its own. Header names are written with underscores."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        lines = {"host": "carillon", "content-length": str(len(raw))}
        if secret is not None:
            lines["authorization"] = f"Bearer {secret}"
        if raw:
            lines["content-type"] = "application/json"
        lines |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return self.raw(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + raw)


def read_answer(connection: socket.socket) -> Answer:
    """Read one answer to its end."""
    stream = connection.makefile("rb")
    status = int(stream.readline().split()[1])
    headers: dict[str, str] = {}
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return Answer(status, headers, stream.read(int(headers.get("content-length", "0"))))


@contextmanager
def open_door(house: House, batcher: FakeBatcher, ring: KeyRing) -> Iterator[Door]:
    """Serve `house` on a free port in a thread of its own, until the block ends."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(configure(create_app(house)))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
    thread.start()
    try:
        yield Door(listener.getsockname()[1], batcher, ring)
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()
