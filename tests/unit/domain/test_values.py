"""Values: equal and hashed by their fields, like the frozen dataclasses that they are to the type checker."""

from dataclasses import field, replace

from domain.values import value


@value(frozen=True, slots=True)
class Point:
    """A value with a part that does not count."""

    x: int
    y: int = 0
    seen: int = field(default=0, compare=False)


def test_a_value_is_equal_hashed_and_replaced_by_its_fields() -> None:
    point = Point(1)

    assert point == Point(1, 0, seen=5) != replace(point, y=1)
    assert len({point, Point(1), Point(2)}) == 2


def test_a_value_takes_no_other_fields() -> None:
    assert not hasattr(Point(1), "__dict__")
