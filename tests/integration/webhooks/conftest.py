"""A receiver and a courier for each test; somebody listens, and what earlier tests left is told to nobody."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from plumbing.listening import LISTENING
from plumbing.outside import Outside
from plumbing.secrets import Box
from tests.builders import SECRET_KEY
from tests.integration.webhooks.receiver import Receiver, receiving
from tests.integration.webhooks.telling import Telling
from workers.webhooks.courier import Courier


@pytest.fixture(autouse=True)
def _somebody_listens(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    was_on = LISTENING.is_on
    LISTENING.is_on = True
    yield
    LISTENING.is_on = was_on


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncIterator[Receiver]:
    """An endpoint on loopback."""
    async with receiving(tmp_path) as receiver:
        yield receiver


@pytest.fixture
def box() -> Box:
    """Seals secrets as the API does."""
    return Box(SECRET_KEY)


@pytest.fixture
async def outside(receiver: Receiver) -> AsyncIterator[Outside]:
    """Calls that may go to the receiver, as the setting for development lets them."""
    async with Outside("localhost", verify=receiver.trust, head_within_s=1.0, body_within_s=0.5) as outside:
        yield outside


@pytest.fixture
async def telling(
    hot_pool: asyncpg.Pool, tenant: UUID, receiver: Receiver, outside: Outside, box: Box
) -> AsyncIterator[Telling]:
    """A tenant, its deliveries, and a courier that tells what becomes of them."""
    await hot_pool.execute("UPDATE webhooks SET deleted_at = now() WHERE deleted_at IS NULL")
    yield Telling(hot_pool, tenant, receiver, box, Courier(hot_pool, outside, box))
    await hot_pool.execute("UPDATE webhooks SET deleted_at = now() WHERE deleted_at IS NULL")
