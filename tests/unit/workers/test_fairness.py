"""Fairness: weights among priorities, caps, nobody starves, tenants take turns."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.lanes import Priority
from workers.fairness import WEIGHTS, Slots, TenantTurns, cap

C = 32
ENDLESS = dict.fromkeys(Priority, 10**6)


def shares(slots: Slots, waiting: dict[Priority, int], rounds: int) -> dict[Priority, int]:
    """How often each priority gets the one slot that becomes free, over `rounds` rounds."""
    got = dict.fromkeys(Priority, 0)
    for _ in range(rounds):
        [(chosen, count)] = slots.grant(waiting, at_most=1).items()
        got[chosen] += count
        slots.release(chosen, count)
    return got


def test_free_slots_are_shared_by_weight() -> None:
    got = shares(Slots(C), ENDLESS, 150)

    assert got == {priority: weight * 10 for priority, weight in WEIGHTS.items()}


def test_a_lane_alone_stops_at_its_cap() -> None:
    for priority in Priority:
        granted = Slots(C).grant({priority: 1000})

        assert granted == {priority: cap(priority, C)}


def test_caps_are_all_all_three_quarters_and_half() -> None:
    assert [cap(priority, C) for priority in Priority] == [32, 32, 24, 16]
    assert [cap(priority, 1) for priority in Priority] == [1, 1, 1, 1]


def test_with_low_work_waiting_a_critical_arrival_finds_a_free_slot() -> None:
    slots = Slots(C)
    slots.grant({Priority.LOW: 10_000, Priority.NORMAL: 0})

    assert slots.grant({Priority.LOW: 10_000, Priority.CRITICAL: 1}) == {Priority.CRITICAL: 1}


def test_no_more_is_granted_than_there_is_work_or_room() -> None:
    slots = Slots(4)

    assert slots.grant({Priority.HIGH: 3}) == {Priority.HIGH: 3}
    assert sum(slots.grant(ENDLESS).values()) == 1
    assert slots.grant(ENDLESS) == {}
    assert slots.free == 0


@given(
    waiting=st.lists(st.dictionaries(st.sampled_from(Priority), st.integers(0, 50)), min_size=1, max_size=40),
    total=st.integers(1, 64),
)
def test_whoever_comes_and_goes_slots_and_caps_hold(waiting: list[dict[Priority, int]], total: int) -> None:
    slots = Slots(total)
    held: list[Priority] = []

    for number, work in enumerate(waiting):
        granted = slots.grant(work)
        held += [priority for priority, count in granted.items() for _ in range(count)]

        assert all(granted[priority] <= work.get(priority, 0) for priority in granted)
        assert all(held.count(priority) <= cap(priority, total) for priority in Priority)
        assert slots.free == total - len(held) >= 0
        while held and number % 2:
            slots.release(held.pop())


@given(st.lists(st.dictionaries(st.sampled_from(Priority), st.integers(0, 3)), max_size=60))
def test_a_lane_that_keeps_waiting_is_served_within_fifteen_grants_whatever_came_before(
    history: list[dict[Priority, int]],
) -> None:
    slots = Slots(8)
    for work in history:
        for priority, count in slots.grant(work).items():
            slots.release(priority, count)

    got = shares(slots, ENDLESS, 60)

    assert all(got.values())


def test_tenants_of_a_lane_take_turns_and_keep_their_order() -> None:
    turns: TenantTurns[str] = TenantTurns()
    many, few = UUID(int=1), UUID(int=2)
    turns.add(many, ["a1", "a2", "a3", "a4"])
    turns.add(few, ["b1"])

    assert turns.take(3) == ["a1", "b1", "a2"]
    turns.add(few, ["b2"])
    assert turns.take(10) == ["a3", "b2", "a4"]
    assert len(turns) == 0
    assert turns.take(1) == []


def test_an_empty_message_leaves_no_trace_of_its_tenant() -> None:
    turns: TenantTurns[str] = TenantTurns()

    turns.add(UUID(int=1), [])

    assert len(turns) == 0
    assert list(turns.drain()) == []
