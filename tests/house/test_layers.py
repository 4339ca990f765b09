"""Imports only go downhill, the domain stands on the standard library, and nobody tests by patching our own code."""

import ast
import subprocess
import sys
from pathlib import Path

from tests.house.rooms import ROOMS, ROOT, files_of_tests, modules, shown, syntax


def test_imports_only_go_downhill() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_domain_needs_nothing_but_the_standard_library() -> None:
    known = sys.stdlib_module_names | {"domain"}

    strangers = {
        f"{shown(path)} imports {name}"
        for path in modules()
        if path.is_relative_to(ROOT / "domain")
        for name in _imported(syntax(path))
        if name.partition(".")[0] not in known
    }

    assert strangers == set()


def test_what_only_the_api_reads_by_is_loaded_by_no_worker_and_no_gateway() -> None:
    words = "import sys, workers.run, channels.push.gateway.run; raise SystemExit('sqlalchemy' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", words], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_no_test_patches_our_own_code() -> None:
    patched = [
        f"{shown(path)}:{node.lineno} patches {node.args[0].value!r}"
        for path in files_of_tests()
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("patch")
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and str(node.args[0].value).partition(".")[0] in ROOMS
    ]

    assert patched == []


def _imported(tree: ast.Module) -> set[str]:
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
