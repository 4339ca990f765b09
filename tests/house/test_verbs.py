"""Every verb that is named anywhere exists, and leads to code that is there."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ops.cli.main import app
from tests.house.rooms import ROOMS, ROOT, shown, syntax, texts

VERBS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]  # the app is a group
WORDS = {"is", "and", "does", "makes", "itself", "again"}
"""What may follow the name in a sentence without being a verb of ours."""

LAZY = sorted(
    {
        (shown(path), node.module)
        for path in (ROOT / "ops" / "cli").glob("*.py")
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] in ROOMS
    }
)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_explains_itself(verb: str) -> None:
    # `test` hands its arguments to pytest, --help too
    answer = CliRunner().invoke(app, ["--help"] if verb == "test" else [verb, "--help"])

    assert answer.exit_code == 0
    assert verb in answer.output


@pytest.mark.parametrize(("where", "module"), LAZY)
def test_what_a_verb_imports_late_is_there(where: str, module: str) -> None:
    import_module(module)


def test_no_text_names_a_verb_that_does_not_exist() -> None:
    unknown = [
        f"{shown(path)}: carillon {verb}"
        for path in texts()
        if path.suffix in {".md", ".py", ".yml"} and "decisions" not in path.parts and path != Path(__file__)
        for verb in re.findall(r"(?:\./|`)carillon ([a-z][a-z-]+)", path.read_text())
        if verb not in VERBS and verb not in WORDS
    ]

    assert unknown == []
