"""Migrations form one line with one head, each can be gone back, and their files sort as they run."""

import ast

from alembic.script import ScriptDirectory

from tests.house.rooms import ROOT, syntax

SCRIPTS = ScriptDirectory(str(ROOT / "migrations"))


def test_there_is_one_head_and_one_base() -> None:
    assert len(SCRIPTS.get_heads()) == 1
    assert len(SCRIPTS.get_bases()) == 1


def test_files_sort_in_the_order_in_which_they_run() -> None:
    newest_first = [revision.revision for revision in SCRIPTS.walk_revisions()]

    files = sorted(path.name for path in (ROOT / "migrations" / "versions").glob("[0-9]*.py"))

    assert [name.partition("_")[0] for name in files] == newest_first[::-1]


def test_every_migration_can_be_gone_back() -> None:
    for path in (ROOT / "migrations" / "versions").glob("[0-9]*.py"):
        functions = {node.name: node for node in syntax(path).body if isinstance(node, ast.FunctionDef)}

        assert {"upgrade", "downgrade"} <= set(functions)
        assert not isinstance(functions["downgrade"].body[-1], ast.Pass | ast.Raise), path.name
