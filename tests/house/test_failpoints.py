"""Every named failpoint stands in the product's code, so that a test which arms it can end a process there."""

import ast

import pytest

from plumbing.failpoints import Failpoint
from tests.house.rooms import ROOT, files_of_tests, modules, syntax

REACHED = {
    node.args[0].attr
    for path in modules()
    for node in ast.walk(syntax(path))
    if isinstance(node, ast.Call)
    and ast.unparse(node.func).endswith("reach")
    and node.args
    and isinstance(node.args[0], ast.Attribute)
}
KILLED_AT = {
    node.attr
    for path in files_of_tests()
    if path.is_relative_to(ROOT / "tests" / "integration")
    for node in ast.walk(syntax(path))
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "Failpoint"
}
"""Unit tests name failpoints too, but only here do processes die."""


@pytest.mark.parametrize("failpoint", Failpoint)
def test_a_process_is_killed_at_every_failpoint_in_some_test(failpoint: Failpoint) -> None:
    assert failpoint.name in KILLED_AT


@pytest.mark.parametrize("failpoint", Failpoint)
def test_a_failpoint_is_reached_somewhere(failpoint: Failpoint) -> None:
    assert failpoint.name in REACHED


def test_a_failpoint_is_named_by_its_room_and_moment() -> None:
    assert [point for point in Failpoint if point.name.lower() != point.value.replace(".", "_")] == []
