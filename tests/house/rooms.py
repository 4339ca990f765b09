"""The house's files, read once for all of its tests: which there are, and what their syntax says."""

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = (
    "domain",
    "plumbing",
    "tracking",
    "channels",
    "preferences",
    "templates",
    "fanout",
    "campaigns",
    "api",
    "workers",
    "ops",
    "migrations",
)


@lru_cache(maxsize=1)
def modules() -> tuple[Path, ...]:
    """Every Python file of the product, and the bootstrap script."""
    return (*_python_of(*ROOMS), ROOT / "carillon")


@lru_cache(maxsize=1)
def files_of_tests() -> tuple[Path, ...]:
    """Every Python file of the tests."""
    return tuple(_python_of("tests"))


@lru_cache(maxsize=1)
def texts() -> tuple[Path, ...]:
    """Everything that people wrote and keep in the repository; locks are made by a machine."""
    folders = [path for room in (*ROOMS, "tests", "docs", ".ci") for path in (ROOT / room).rglob("*")]
    top = [path for path in ROOT.iterdir() if path.name not in {".env"}]
    return tuple(sorted(path for path in {*folders, *top} if path.is_file() and path.suffix not in {".pyc", ".png"}))


@lru_cache(maxsize=512)
def syntax(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text())


def shown(path: Path) -> str:
    """The path as people write it."""
    return str(path.relative_to(ROOT))


def definitions(tree: ast.Module) -> Iterator[str]:
    """The functions and classes that a module defines at its top."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name


def _python_of(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))
