"""The verbs of developers: `test` with real servers where they can be had, and `check` for everything quick."""

import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ops.cli.door import fail, say
from ops.cli.side_by_side import run_in_turn, whole_suite
from ops.stack.parts import Part

if TYPE_CHECKING:
    from ops.stack.tools import Tool

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = {Part.POSTGRES: "postgresql", Part.REDIS: "redis-server", Part.RABBITMQ: "rabbitmq-server"}
_TEST_VARIABLES = {
    Part.POSTGRES: "CARILLON_TEST_DATABASE_URL",
    Part.REDIS: "CARILLON_TEST_REDIS_URL",
    Part.RABBITMQ: "CARILLON_TEST_AMQP_URL",
}
_ANYTHING = {"allow_extra_args": True, "ignore_unknown_options": True}

CHECKS = (
    ("format", ("ruff", "format", "--check", ".")),
    ("lint", ("ruff", "check", ".")),
    ("types", ("mypy",)),
    ("imports", ("lint-imports",)),
    ("tests", ("pytest", "-q", "tests/unit", "tests/house")),
)


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    app.command(context_settings={**_ANYTHING, "help_option_names": []}, add_help_option=False)(test)
    app.command()(check)


def test(context: typer.Context) -> None:
    """Run the tests against real servers where they can be had; arguments go to pytest.

    Without arguments everything runs, as several processes in turn; servers that were named serve only one.
    """
    if _may_install():
        _install_missing()
    missing, tools = _missing(), _missing_tools()
    ways = [f"{part.label}: {_describe(part, missing)}" for part in Part]
    ways += [f"without {tool.program}" for tool in tools]
    say("tests run on " + " · ".join(ways))
    if (missing or tools) and os.environ.get("CARILLON_REQUIRE_REAL") == "1":
        names = ", ".join([*(part.label for part in missing), *(tool.program for tool in tools)])
        fail(f"CARILLON_REQUIRE_REAL=1, but no real {names} was found or could be installed", code=1)
    if context.args or any(os.environ.get(variable) for variable in _TEST_VARIABLES.values()):
        raise SystemExit(subprocess.run([_tool("pytest"), *context.args], cwd=_ROOT, check=False).returncode)
    raise SystemExit(run_in_turn(whole_suite(_tool("pytest")), _ROOT))


def check() -> None:
    """Format, lint, types, import contracts, unit and house tests."""
    failed = []
    for name, command in CHECKS:
        began = time.monotonic()
        done = subprocess.run([_tool(command[0]), *command[1:]], cwd=_ROOT, capture_output=True, text=True, check=False)
        verdict = "ok" if done.returncode == 0 else "FAILED"
        say(f"{name:<8} {verdict:<6} {time.monotonic() - began:5.1f} s")
        if done.returncode != 0:
            typer.echo(done.stdout + done.stderr)
            failed.append(name)
    if failed:
        fail(f"failed: {', '.join(failed)}", code=1)


def _missing() -> list[Part]:
    from ops.stack.choice import find_real  # lazy: looking through folders

    return [part for part in Part if not os.environ.get(_TEST_VARIABLES[part]) and find_real(part) is None]


def _missing_tools() -> "list[Tool]":
    from ops.stack.tools import Tool, find_tool  # lazy: looking through folders

    return [tool for tool in Tool if find_tool(tool) is None]


def _describe(part: Part, missing: list[Part]) -> str:
    if os.environ.get(_TEST_VARIABLES[part]):
        return f"real ({_TEST_VARIABLES[part]})"
    return "embedded" if part in missing else "real (private)"


def _may_install() -> bool:
    return platform.system() == "Linux" and os.geteuid() == 0 and shutil.which("apt-get") is not None


def _install_missing() -> None:
    """By apt-get, as root on a Debian-like system; a failure only means that tests go on without."""
    from ops.stack.tools import Tool, fetch, run_quietly  # lazy

    tools = _missing_tools()
    packages = [_PACKAGES[part] for part in _missing()] + [tool.value for tool in tools if tool is Tool.CHROMIUM]
    if not packages and not tools:
        return
    say(f"installing {' '.join([*packages, *(tool.program for tool in tools if tool is not Tool.CHROMIUM)])} for tests")
    install = ("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages)
    fault = run_quietly(*install) if packages else None
    if fault is not None:
        run_quietly("apt-get", "update", "-qq")
        fault = run_quietly(*install)
    if Tool.PROMTOOL in tools and fetch(Tool.PROMTOOL) is not None:
        run_quietly("apt-get", "update", "-qq")
        fault = fetch(Tool.PROMTOOL) or fault
    if fault is not None:
        say(f"that failed ({fault}); going on without")


def _tool(name: str) -> str:
    """A program of this environment."""
    return str(Path(sys.executable).with_name(name))
