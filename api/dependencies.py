"""What routes need, in one frozen place: made by `run` for real, by tests with fakes."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Protocol
from uuid import UUID

import asyncpg
from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncEngine

from api.auth import Key, Keys, Scope, authenticate
from api.body import BodyLimits
from api.limits import KeyLimiter
from channels.push.apps import Apps
from channels.push.hints import Nodes
from channels.push.origins import Origins
from channels.push.presence import Presence
from channels.push.tokens import Tokens
from domain.clock import Clock, utc_now
from domain.errors import RequestRefused
from domain.notification import NotificationRequest
from fanout.cases import Accepted, BulkAccepted, Case, IdempotencyKey, Item, Sender
from plumbing.cache import Cache
from plumbing.health import Check
from plumbing.outside import Outside
from plumbing.reading import TenantReads
from plumbing.secrets import Box, Seal
from plumbing.settings import Settings
from preferences.categories import Categories
from preferences.model import KnownRecipient
from templates.catalog import Catalog


class Submits(Protocol):
    """What accepts requests: `fanout.batch.Batcher`, or a fake."""

    async def submit(self, item: Item) -> Accepted:
        """Accept one. Raises RequestRefused, Unavailable."""
        ...

    async def submit_bulk(
        self, sender: Sender, requests: Sequence[NotificationRequest | RequestRefused], key: IdempotencyKey | None
    ) -> BulkAccepted:
        """Accept many. Raises RequestRefused, Unavailable for the whole."""
        ...


class Peeks(Protocol):
    """Asks every gate and leaves nothing behind: `fanout.accept.peek`."""

    async def __call__(self, item: Item, *, now: datetime, known: KnownRecipient | None = None) -> Case:
        """The case with its decisions and planned deliveries, for the recipient as it is today unless `known` is given.

        Raises RequestRefused, Unavailable."""
        ...


PublishReceipts = Callable[[Sequence[bytes]], Awaitable[int]]
"""Hands receipts to RabbitMQ; answers how many it confirmed."""


QueueDepth = Callable[[str], Awaitable[int | None]]
"""Messages ready in a queue of the broker; None when it does not answer."""


async def _unknown_depth(_queue: str) -> int | None:
    return None


@dataclass(frozen=True, slots=True)
class House:
    """Everything that routes reach for."""

    settings: Settings
    keys: Keys
    batcher: Submits
    peek: Peeks
    limiter: KeyLimiter
    seal: Seal
    hot_pool: asyncpg.Pool
    read_pool: asyncpg.Pool
    engine: AsyncEngine
    cache: Cache
    categories: Categories
    catalog: Catalog
    apps: Apps
    origins: Origins
    tokens: Tokens
    presence: Presence
    box: Box
    publish_receipts: PublishReceipts
    nodes: Nodes
    outside: Outside = field(default_factory=Outside)
    checks: Mapping[str, Check] = field(default_factory=dict)
    queue_depth: QueueDepth = _unknown_depth
    clock: Clock = utc_now
    body_limits: BodyLimits = field(default_factory=BodyLimits)
    is_walled: bool = True
    """Whether PostgreSQL itself keeps tenants apart where a route reads."""

    def reads(self, tenant: UUID) -> TenantReads:
        """What a route that only reads borrows from: it is shown what is this tenant's."""
        return TenantReads(self.read_pool, tenant, engine=self.engine, is_walled=self.is_walled)


def house_of(request: Request) -> House:
    """The house that this application was built with."""
    house: House = request.app.state.house
    return house


TheHouse = Annotated[House, Depends(house_of)]


class Needs:
    """A dependency: the request's key, which must have `scope`, within its limit. OpenAPI reads the scope from here."""

    may_be_app = False

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> Key:
        """Raises RequestRefused: 401, 403, 429."""
        house = house_of(request)
        key = await identify(request, house.keys, self.scope, may_be_app=self.may_be_app)
        request.scope["rate_headers"] = await house.limiter.spend(key)
        return key


class NeedsOrApp(Needs):
    """As above, or an app's publishable key, which has no scope at all."""

    may_be_app = True


async def identify(request: Any, keys: Keys, scope: Scope, *, may_be_app: bool = False) -> Key:
    """The key of a request, noted for the log. Raises RequestRefused: 401, 403."""
    key = await authenticate(keys, request.headers.get("authorization"), scope, may_be_app=may_be_app)
    request.scope["tenant_id"] = key.tenant_id
    request.scope["key_prefix"] = key.prefix
    return key


Reader = Annotated[Key, Depends(Needs(Scope.READ))]
SenderKey = Annotated[Key, Depends(Needs(Scope.SEND))]
UsersKey = Annotated[Key, Depends(Needs(Scope.USERS))]
AdminKey = Annotated[Key, Depends(Needs(Scope.ADMIN))]
OpsKey = Annotated[Key, Depends(Needs(Scope.OPS))]
RegistrarKey = Annotated[Key, Depends(NeedsOrApp(Scope.USERS))]
CampaignsKey = Annotated[Key, Depends(Needs(Scope.CAMPAIGNS))]
