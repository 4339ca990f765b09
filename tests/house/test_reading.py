"""Whoever only reads does so behind the wall between tenants (docs/decisions/0029)."""

import ast

import pytest

from tests.house.rooms import ROOT, modules, shown, syntax

UNWALLED = {"hot_pool", "read_pool", "engine"}
FREE = {
    "api/routes/categories.py:list_categories": "categories are remembered for whoever asks, and looked up once",
    "api/routes/categories.py:get_category": "likewise",
    "api/routes/overview.py:get_breaker": "breakers are the platform's",
    "api/routes/dead_letters.py:get_letter": "what is revealed is noted",
}
"""Reading routes that reach past the wall, and why."""

ROUTES = {
    f"{shown(path)}:{node.name}": node
    for path in modules()
    if path.is_relative_to(ROOT / "api" / "routes")
    for node in syntax(path).body
    if isinstance(node, ast.AsyncFunctionDef)
    and any(isinstance(one, ast.Call) and ast.unparse(one.func) == "ROUTER.get" for one in node.decorator_list)
}


def _reaches_past(node: ast.AST) -> bool:
    return any(isinstance(one, ast.Attribute) and one.attr in UNWALLED for one in ast.walk(node))


@pytest.mark.parametrize("route", sorted(ROUTES))
def test_a_route_that_reads_borrows_what_its_tenant_may_see(route: str) -> None:
    assert _reaches_past(ROUTES[route]) == (route in FREE), "take house.reads(key.tenant_id)"


@pytest.mark.parametrize("module", ["letter_telling", "looking_back", "exporting"])
def test_so_does_what_tells_more_than_one_table(module: str) -> None:
    assert not _reaches_past(syntax(ROOT / "api" / f"{module}.py"))
