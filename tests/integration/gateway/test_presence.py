"""Presence on a real Redis and on the embedded one: fenced goodbyes, ghosts, dead nodes, a Redis that forgets."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from channels.push.presence import Entry, NodeFacts, Presence
from domain.ids import uuid7
from ops.stack.choice import prepare
from ops.stack.parts import Part, Way
from plumbing.cache import Cache
from tests.integration.workers.stage import eventually


@pytest.fixture(scope="module")
def embedded_url(server_folder: Path) -> Iterator[str]:
    server = prepare(Part.REDIS, Way.EMBEDDED, server_folder / "embedded-redis", url=None, durable=False)
    server.start()
    try:
        server.await_ready()
        yield server.url
    finally:
        server.stop()


@pytest.fixture(scope="module", params=["real", "embedded"])
def url(request: pytest.FixtureRequest) -> str:
    name = "redis_url" if request.param == "real" else "embedded_url"
    return str(request.getfixturevalue(name))


@pytest.fixture
async def client(url: str) -> AsyncIterator["Redis"]:
    """Redis without presence of anybody, before and after: nodes that never were are nobody's gateways."""
    async with Redis.from_url(url) as client:
        await client.flushdb()
        yield client
        await client.flushdb()


@pytest.fixture
async def presence(url: str, client: "Redis") -> AsyncIterator[Presence]:
    cache = Cache.open(url)
    yield Presence(cache)
    await cache.close()


def node(name: str = "north-1", region: str = "north") -> NodeFacts:
    return NodeFacts(name, uuid4().hex[:8], region, f"ws://{name}/v1/connect")


async def alive(presence: Presence, name: str = "north-1") -> NodeFacts:
    here = node(name)
    assert await presence.beat(here) is False
    return here


def login(device: UUID | None = None, *, is_napping: bool = False) -> Entry:
    return Entry(device or uuid7(), uuid7().hex, is_napping)


async def test_a_device_is_found_where_it_logged_in(presence: Presence) -> None:
    here, napping, awake = await alive(presence), login(is_napping=True), login()

    assert await presence.announce(here, [napping, awake]) == {}

    found = await presence.where([napping.device, awake.device, uuid7()])
    assert found is not None
    assert set(found) == {napping.device, awake.device}
    assert found[awake.device] == (here.node, here.boot, awake.connection, "north", False)
    assert found[napping.device].is_napping
    assert found[awake.device].queue == f"gateway.{here.node}.{here.boot}"


async def test_a_newer_login_learns_of_the_ghost_it_leaves_behind(presence: Presence) -> None:
    first, second, old = await alive(presence, "a"), await alive(presence, "b"), login()
    await presence.announce(first, [old])
    new = login(old.device)

    ghosts = await presence.announce(second, [new])

    assert ghosts is not None
    assert ghosts[old.device][:3] == (first.node, first.boot, old.connection)
    assert await presence.announce(second, [new]) == {}


async def test_a_late_goodbye_never_erases_a_newer_login(presence: Presence) -> None:
    first, second, old = await alive(presence, "a"), await alive(presence, "b"), login()
    await presence.announce(first, [old])
    new = login(old.device)
    await presence.announce(second, [new])

    await presence.leave([old])

    found = await presence.where([old.device])
    assert found is not None
    assert found[old.device].connection == new.connection
    await presence.leave([new])
    assert await presence.where([old.device]) == {}


async def test_devices_of_a_dead_node_are_absent_and_no_ghosts(presence: Presence, client: "Redis") -> None:
    here, there, old = await alive(presence, "a"), await alive(presence, "b"), login()
    await presence.announce(here, [old])

    await client.delete(f"{{presence}}:node:{here.node}:{here.boot}")

    assert await presence.where([old.device]) == {}
    assert await presence.announce(there, [login(old.device)]) == {}


async def test_a_node_that_ends_takes_its_devices_with_it(presence: Presence) -> None:
    here, there, one = await alive(presence, "a"), await alive(presence, "b"), login()
    await presence.announce(here, [one])

    await presence.end(here)

    assert await presence.where([one.device]) == {}
    assert await presence.nodes() == [there]


async def test_another_life_of_a_node_does_not_own_the_devices_of_the_last_one(presence: Presence) -> None:
    last, one = await alive(presence), login()
    await presence.announce(last, [one])
    await presence.end(last)

    await alive(presence)

    assert await presence.where([one.device]) == {}


async def test_a_node_hears_that_redis_has_forgotten_it_and_renews(presence: Presence, client: "Redis") -> None:
    here, one = await alive(presence), login()
    await presence.announce(here, [one])
    assert await presence.beat(here) is True

    await client.flushdb()

    assert await presence.where([one.device]) == {}
    assert await presence.beat(here) is False
    assert await presence.renew(here, [one]) == ({}, {})
    found = await presence.where([one.device])
    assert found is not None
    assert found[one.device].connection == one.connection


async def test_of_two_connections_that_renew_the_younger_stays_whoever_comes_first(presence: Presence) -> None:
    first, second = await alive(presence, "a"), await alive(presence, "b")
    device = uuid7()
    old, new = Entry(device, uuid7(1_000_000).hex, False), Entry(device, uuid7(2_000_000).hex, False)

    assert await presence.renew(first, [old]) == ({}, {})
    won = await presence.renew(second, [new])
    lost = await presence.renew(first, [old])

    assert won is not None
    assert lost is not None
    assert won.older[device].connection == old.connection
    assert won.younger == {}
    assert lost.younger[device].connection == new.connection
    assert lost.older == {}
    found = await presence.where([device])
    assert found is not None
    assert found[device].node == second.node


async def test_entries_and_nodes_end_by_themselves(presence: Presence, client: "Redis") -> None:
    here, one = await alive(presence), login()
    await presence.announce(here, [one])

    assert 290 <= await client.ttl(f"{{presence}}:device:{one.device.hex}") <= 300
    assert 10 <= await client.ttl(f"{{presence}}:node:{here.node}:{here.boot}") <= 15


async def test_a_thousand_logins_are_announced_and_found(presence: Presence) -> None:
    here, logins = await alive(presence), [login() for _ in range(1200)]

    async def are_announced() -> bool:  # a slow Redis is given up, and asked again
        return await presence.announce(here, logins) == {}

    async def are_found() -> bool:
        found = await presence.where([one.device for one in logins[:100]])
        return found is not None and len(found) == 100

    await eventually(are_announced)
    await eventually(are_found)
    await presence.leave(logins)
    assert await presence.where([one.device for one in logins[:100]]) == {}


async def test_nodes_are_listed_with_region_and_url_and_dead_ones_are_not(presence: Presence, client: "Redis") -> None:
    north, south = await alive(presence, "a"), await alive(presence, "b")

    assert await presence.nodes() == [north, south]
    await client.delete(f"{{presence}}:node:{north.node}:{north.boot}")
    assert await presence.nodes() == [south]
    assert await presence.nodes() == [south]


async def test_without_redis_nobody_knows() -> None:
    cache = Cache.open("redis://127.0.0.1:1/0")
    presence, here, one = Presence(cache), node(), login()

    assert await presence.where([one.device]) is None
    assert await presence.announce(here, [one]) is None
    assert await presence.renew(here, [one]) is None
    assert await presence.beat(here) is None
    assert await presence.nodes() is None
    await presence.leave([one])
    await presence.end(here)
    await cache.close()
