"""Whoever writes a status that webhooks are told of runs the statement that tells: nobody can forget it."""

import ast
import re
from importlib import import_module

import pytest

from tests.house.rooms import ROOT, modules, shown, syntax
from tracking.webhooks.noting import telling

QUIET = {
    "tracking/claim.py:_CLAIMING": "sending is a step",
    "tracking/finish.py:_GIVE_BACK": "resting and queued are steps",
    "tracking/receipts.py:_ABSENT": "queued is a step",
    "tracking/overdue.py:_REQUEUE": "queued is a step",
    "tracking/dead/replay.py:_PUT_BACK": "queued is a step",
}
"""Statements that write a status and tell nobody, and why not."""

WRITES_STATUS = re.compile(r"UPDATE deliveries d SET\b(?:(?!\bWHERE\b).)*\bstatus = ", re.DOTALL)


def _statements() -> dict[str, tuple[ast.Module, str]]:
    found = {}
    for path in modules():
        if path.is_relative_to(ROOT / "tracking") and path.parent.name != "webhooks":
            for node in syntax(path).body:
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    name = node.targets[0].id
                    if WRITES_STATUS.search(ast.unparse(node.value)):
                        found[f"{shown(path)}:{name}"] = (syntax(path), name)
    return found


WRITES = _statements()


@pytest.mark.parametrize("where", sorted(WRITES.keys() - QUIET.keys()))
def test_a_statement_that_writes_a_status_is_run_as_the_one_that_tells(where: str) -> None:
    tree, name = WRITES[where]
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name]
    heard = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"heard", "_write"}
        and any(isinstance(argument, ast.Name) and argument.id == name for argument in node.args)
    ]

    assert len(uses) - 1 == len(heard) > 0


@pytest.mark.parametrize("where", sorted(WRITES.keys() - QUIET.keys()))
def test_such_a_statement_can_be_rewritten(where: str) -> None:
    path, name = where.split(":")
    statement = getattr(import_module(path.removesuffix(".py").replace("/", ".")), name)

    assert telling(statement).count("INSERT INTO webhook_messages") == 1


def test_the_quiet_ones_are_there() -> None:
    assert QUIET.keys() - WRITES.keys() == set()
