"""How a file is kept: it says what it is for, fits two screens, and its names say what they mean."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.house.rooms import ROOT, definitions, files_of_tests, modules, shown, syntax

BANNED = {"utils", "helpers", "common", "misc", "manager", "service", "handler", "processor", "info"}
FILE_WALL, FUNCTION_WALL = 300, 60
GENERATED = ROOT / "migrations" / "versions"
"""Migrations spell out a whole schema and are never edited again: the walls do not hold for them."""

EVERYTHING = [path for path in (*modules(), *files_of_tests()) if path.read_text().strip()]
KEPT = [path for path in EVERYTHING if not path.is_relative_to(GENERATED)]
_IGNORE = re.compile(r"# ?(?:noqa|type: ?ignore)(?P<rest>.*)")


def test_every_module_says_in_a_sentence_what_it_is_for() -> None:
    silent = [shown(path) for path in EVERYTHING if not re.search(r"[.:](\s|$)", ast.get_docstring(syntax(path)) or "")]

    assert silent == []


def test_no_file_goes_beyond_the_wall() -> None:
    lines = {shown(path): len(path.read_text().splitlines()) for path in KEPT}

    assert {name: count for name, count in lines.items() if count > FILE_WALL} == {}


def test_a_function_does_one_thing() -> None:
    lines = {
        f"{shown(path)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in KEPT
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert {name: count for name, count in lines.items() if count > FUNCTION_WALL} == {}


def test_no_name_refuses_nothing() -> None:
    vague = [
        f"{shown(path)}: {name}"
        for path in modules()
        for name in (path.stem, path.parent.name, *definitions(syntax(path)))
        if BANNED & set(_words(name))
    ]

    assert vague == []


def test_no_except_catches_what_it_does_not_name() -> None:
    bare = [
        f"{shown(path)}:{node.lineno}"
        for path in EVERYTHING
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]

    assert bare == []


def test_every_ignored_check_gives_its_reason_on_the_line() -> None:
    silent = [f"{shown(path)}:{number}" for path in EVERYTHING for number in _ignores_without_reason(path)]

    assert silent == []


def _ignores_without_reason(path: Path) -> Iterator[int]:
    """Lines with an ignore and nothing after its codes: the reason is a second comment, or follows a dash or colon."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        found = _IGNORE.search(line)
        if found and not re.search(
            r"[A-Za-z]{3,} [A-Za-z]{2,}", re.sub(r"^[:\s]*(\[[^]]*\]|[A-Z\d, ]+)", "", found["rest"])
        ):
            yield number


def _words(name: str) -> Iterator[str]:
    for piece in re.split(r"[_\W]+", name):
        yield from (word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", piece))
