"""Every named failpoint stands in the product's code, so that a test which arms it can end a process there."""

import ast

import pytest

from plumbing.failpoints import Failpoint
from tests.house.rooms import modules, syntax

REACHED = {
    node.args[0].attr
    for path in modules()
    for node in ast.walk(syntax(path))
    if isinstance(node, ast.Call)
    and ast.unparse(node.func).endswith("reach")
    and node.args
    and isinstance(node.args[0], ast.Attribute)
}


@pytest.mark.parametrize("failpoint", Failpoint)
def test_a_failpoint_is_reached_somewhere(failpoint: Failpoint) -> None:
    assert failpoint.name in REACHED


def test_a_failpoint_is_named_by_its_room_and_moment() -> None:
    assert [point for point in Failpoint if point.name.lower() != point.value.replace(".", "_")] == []
