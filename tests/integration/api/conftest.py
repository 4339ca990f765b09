"""One door with a fake batcher for this folder's tests; what it accepted is forgotten between them."""

from collections.abc import Iterator

import pytest
import structlog

from tests.integration.api.doors import SECRET, Door, FakeBatcher, KeyRing, make_house, open_door
from tests.integration.api.scripted import Scripted, open_scripted


@pytest.fixture(scope="package", autouse=True)
def _quiet() -> Iterator[None]:
    """Servers in threads write their lines when pytest is between two tests; nobody reads them there."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def _shared_door() -> Iterator[Door]:
    batcher, ring = FakeBatcher(), KeyRing()
    ring.add(SECRET)
    with open_door(make_house(batcher, ring), batcher, ring) as door:
        yield door


@pytest.fixture
def door(_shared_door: Door) -> Door:
    """A server on loopback whose batcher has accepted nothing yet."""
    _shared_door.batcher.items.clear()
    _shared_door.batcher.bulks.clear()
    _shared_door.batcher.failure = None
    _shared_door.batcher.limit = None
    return _shared_door


@pytest.fixture
def api() -> Iterator[Scripted]:
    """An API of answers written down."""
    with open_scripted() as scripted:
        yield scripted
