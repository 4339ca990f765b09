"""Programs that tests need are found where they were named, in PATH, or where they were fetched to."""

from pathlib import Path

import pytest

from ops.stack.tools import Tool, fetch, find_tool


def test_a_program_named_in_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CARILLON_TEST_PROMTOOL", str(tmp_path / "mine"))

    assert find_tool(Tool.PROMTOOL) == tmp_path / "mine"


def test_a_fetched_program_is_found_and_one_that_is_nowhere_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.delenv("CARILLON_TEST_PROMTOOL", raising=False)
    monkeypatch.delenv("CARILLON_TEST_CHROMIUM", raising=False)
    (tmp_path / "promtool").write_text("#!/bin/sh\n")
    (tmp_path / "promtool").chmod(0o755)

    assert find_tool(Tool.PROMTOOL, folder=tmp_path) == tmp_path / "promtool"
    assert find_tool(Tool.CHROMIUM, folder=tmp_path) is None


def test_without_a_package_tool_fetching_says_why_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))

    assert fetch(Tool.PROMTOOL, folder=tmp_path) == "apt-get: No such file or directory"
    assert list(tmp_path.iterdir()) == []
