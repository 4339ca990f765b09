"""The walls of the topology: only what RabbitMQ 3.10 to 4.3 accepts, and a way on from everywhere to an end."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.lanes import DECLARED_CHANNELS, DECLARED_LANES, Channel, Lane
from ops.stack.broker.exchanges import Exchange as Routes
from plumbing.broker import topology
from plumbing.broker.topology import EXCHANGES, QUEUES, QUEUES_BY_NAME, RETRY_LEVELS_S, Queue

ROOT = Path(__file__).parents[2]
ROOMS = ("api", "campaigns", "channels", "fanout", "ops", "plumbing", "preferences", "templates", "tracking", "workers")
EVERY_QUEUE = [*QUEUES, topology.gateway_queue("node", "boot")]
DECLARING = {"declare_queue", "queue_declare", "declare_exchange", "exchange_declare"}


def routed(exchange: str, routing_key: str) -> list[str]:
    """The queues that a message reaches, by the data alone."""
    kind = next(one.kind for one in EXCHANGES if one.name == exchange)
    routes = Routes(exchange, kind, is_durable=True)
    for queue in QUEUES:
        for bound_to, pattern in queue.bindings:
            if bound_to == exchange:
                routes.bind(queue.name, pattern)
    return routes.route(routing_key)


def after_death(queue: Queue, routing_key: str) -> list[str]:
    """Where a queue's dead letters go; the routing key stays, as nothing replaces it."""
    assert "x-dead-letter-routing-key" not in queue.arguments
    return routed(str(queue.arguments["x-dead-letter-exchange"]), routing_key)


@pytest.mark.parametrize("queue", EVERY_QUEUE, ids=lambda queue: queue.name)
def test_every_queue_is_one_that_rabbitmq_4_3_accepts(queue: Queue) -> None:
    is_durable_quorum = not queue.is_exclusive and queue.arguments.get("x-queue-type") == "quorum"
    is_passing = queue.is_exclusive and "x-queue-type" not in queue.arguments

    assert is_durable_quorum or is_passing
    assert not {"x-max-priority", "x-queue-mode", "x-expires", "x-ha-policy"} & set(queue.arguments)
    assert all(value > 0 for value in queue.arguments.values() if isinstance(value, int)), "-1 drops messages on 3.10"


@pytest.mark.parametrize("queue", EVERY_QUEUE, ids=lambda queue: queue.name)
def test_no_queue_drops_what_it_has_confirmed(queue: Queue) -> None:
    assert queue.arguments["x-overflow"] == "reject-publish"
    if "x-dead-letter-exchange" in queue.arguments:
        assert queue.arguments["x-dead-letter-strategy"] == "at-least-once"


@pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
def test_every_shared_queue_has_a_limit_or_a_time_and_a_way_on_or_is_the_end(queue: Queue) -> None:
    is_end = queue.name.startswith("dead.")

    assert "x-max-length" not in queue.arguments
    assert "x-max-length-bytes" not in queue.arguments
    assert ("x-delivery-limit" in queue.arguments) != ("x-message-ttl" in queue.arguments)
    assert ("x-dead-letter-exchange" in queue.arguments) != is_end
    if is_end:
        assert queue.arguments["x-delivery-limit"] == 1_000_000, "looking at a dead letter must not destroy it"


def test_names_are_unique_and_every_binding_and_dead_letter_leads_to_a_declared_exchange() -> None:
    exchanges = {exchange.name for exchange in EXCHANGES}

    assert len(QUEUES_BY_NAME) == len(QUEUES)
    assert len(exchanges) == len(EXCHANGES)
    assert {bound_to for queue in EVERY_QUEUE for bound_to, _ in queue.bindings} == exchanges
    assert {queue.arguments.get("x-dead-letter-exchange") for queue in QUEUES} - {None} <= exchanges


@pytest.mark.parametrize("lane", DECLARED_LANES, ids=str)
def test_every_lane_has_its_own_queue_a_quarantine_and_a_dead_end(lane: Lane) -> None:
    work = topology.work_queue(lane)
    quarantine, dead = topology.quarantine_queue(lane.channel), topology.dead_queue(lane.channel)

    assert routed(topology.WORK, str(lane)) == [work]
    assert after_death(QUEUES_BY_NAME[work], str(lane)) == [quarantine]
    assert after_death(QUEUES_BY_NAME[quarantine], str(lane)) == [dead]
    assert routed(topology.QUARANTINE, str(lane)) == [quarantine]
    assert routed(topology.DEAD, str(lane.channel)) == [dead]


@pytest.mark.parametrize("level", RETRY_LEVELS_S)
@pytest.mark.parametrize("lane", DECLARED_LANES, ids=str)
def test_every_lane_can_rest_at_every_level_and_comes_back_to_itself(lane: Lane, level: str) -> None:
    resting = QUEUES_BY_NAME[topology.retry_queue(lane.channel, level)]

    assert routed(topology.retry_exchange(lane.channel, level), str(lane)) == [resting.name]
    assert resting.arguments["x-message-ttl"] == RETRY_LEVELS_S[level] * 1000
    assert after_death(resting, str(lane)) == [topology.work_queue(lane)]


def test_no_retry_queue_is_shared_between_channels() -> None:
    """A full lane of one channel would hold up the resting messages of all others."""
    for channel in DECLARED_CHANNELS:
        for level in RETRY_LEVELS_S:
            bindings = QUEUES_BY_NAME[topology.retry_queue(channel, level)].bindings
            assert bindings == ((topology.retry_exchange(channel, level), ""),)


def test_receipts_have_a_dead_end_of_their_own() -> None:
    receipts = QUEUES_BY_NAME[topology.RECEIPTS_QUEUE]

    assert routed(topology.RECEIPTS, topology.RECEIPTS_KEY) == [receipts.name]
    assert after_death(receipts, topology.RECEIPTS_KEY) == [topology.dead_queue("receipts")]


def test_the_topology_is_exactly_that_of_the_design() -> None:
    channels, levels = ("push", "email", "sms"), ("2s", "10s", "1m", "5m", "30m", "2h")
    names = {f"work.{channel}.{lane}" for channel in channels for lane in ("critical", "high", "normal", "low")}
    names |= {f"retry.{channel}.{level}" for channel in channels for level in levels}
    names |= {f"{end}.{channel}" for channel in channels for end in ("quarantine", "dead")}

    assert set(QUEUES_BY_NAME) == names | {"receipts", "dead.receipts"}
    assert {exchange.name for exchange in EXCHANGES} == {
        *("carillon.work", "carillon.quarantine", "carillon.dead", "carillon.receipts", "carillon.gateways"),
        *(f"carillon.retry.{channel}.{level}" for channel in channels for level in levels),
    }
    assert tuple(Channel(channel) for channel in channels) == DECLARED_CHANNELS


def calls() -> Iterator[tuple[Path, ast.Call, str]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
                    name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
                    yield path.relative_to(ROOT), node, name


def test_queues_and_exchanges_are_declared_in_one_place_only() -> None:
    """Others may look (passive) or call `topology`; `ops/stack/broker` is the side that answers."""
    elsewhere = [
        f"{path}:{call.lineno}"
        for path, call, name in calls()
        if name in DECLARING
        and path != Path("plumbing/broker/topology.py")
        and not path.is_relative_to("ops/stack/broker")
        and "passive" not in {keyword.arg for keyword in call.keywords}
        and not ast.unparse(call.func).startswith("topology.")
    ]

    assert not elsewhere


def test_nobody_asks_for_global_qos_or_gives_a_message_a_priority_or_an_expiration() -> None:
    """Global qos is refused since 4.3; an expiring message waits behind those that expire later."""
    for path, call, name in calls():
        given = {keyword.arg for keyword in call.keywords}
        if name in ("set_qos", "basic_qos"):
            assert not given & {"global_", "all_channels"}, f"{path}:{call.lineno}"
        if name == "Message":
            assert not given & {"expiration", "priority"}, f"{path}:{call.lineno}"
