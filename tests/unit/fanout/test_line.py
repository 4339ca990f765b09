"""Who forms the next batch: a few share one, a crowd does not wait for it, and twins never go side by side."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

from fanout.cases import Case
from fanout.line import MAX_BATCH, WORTH_A_COMMIT, Line


def cases(count: int, keys: Sequence[UUID] = ()) -> list[Case]:
    """Cases of which the line looks at nothing but their keys."""
    wanted: list[UUID | None] = [*keys, *[None] * (count - len(keys))]
    made = [SimpleNamespace(item=SimpleNamespace(key=key and SimpleNamespace(key=key))) for key in wanted]
    return cast(list[Case], cast(Any, made))


def test_a_lone_one_begins_at_once_and_who_comes_meanwhile_shares_the_next() -> None:
    line = Line()
    (lone,), few = cases(1), cases(WORTH_A_COMMIT - 1)

    line.add([lone])
    first = line.begin()
    line.add(few)

    assert first == [lone]
    assert line.begin() == []
    line.over(first)
    assert line.begin() == few


def test_a_crowd_begins_beside_the_batch_under_way_and_a_third_does_not() -> None:
    line = Line()
    one, crowd, more = cases(1), cases(WORTH_A_COMMIT), cases(WORTH_A_COMMIT)

    line.add(one)
    first = line.begin()
    line.add(crowd)
    second = line.begin()
    line.add(more)

    assert second == crowd
    assert line.begin() == []
    line.over(first)
    assert line.begin() == more


def test_a_twin_of_one_under_way_waits_for_it_and_keeps_its_place() -> None:
    line, key = Line(), uuid4()
    one, (twin, *crowd) = cases(1, [key]), cases(WORTH_A_COMMIT + 1, [key])

    line.add(one)
    first = line.begin()
    line.add([twin, *crowd])
    second = line.begin()
    late = cases(1)
    line.add(late)
    line.over(second)
    line.over(first)

    assert second == crowd
    assert line.begin() == [twin, *late]


def test_when_all_are_twins_of_one_under_way_nothing_begins() -> None:
    line, keys = Line(), [uuid4() for _ in range(WORTH_A_COMMIT)]
    line.add(cases(WORTH_A_COMMIT, keys))
    first = line.begin()

    line.add(cases(WORTH_A_COMMIT, keys))

    assert line.may_begin
    assert line.begin() == []
    line.over(first)
    assert len(line.begin()) == WORTH_A_COMMIT


def test_a_batch_has_a_greatest_size_and_the_line_is_idle_when_the_last_is_over() -> None:
    line = Line()
    assert line.is_idle
    line.add(cases(MAX_BATCH + 1))

    first = line.begin()
    assert len(first) == MAX_BATCH
    line.over(first)
    last = line.begin()

    assert (len(last), len(line), line.is_idle) == (1, 0, False)
    line.over(last)
    assert line.is_idle
