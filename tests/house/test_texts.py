"""What stands in the files for people: no default passwords, links that lead somewhere, decisions that are complete."""

import re
from pathlib import Path

import pytest

from tests.house.rooms import ROOT, shown, texts

FORBIDDEN = ("gue" + "st", "change" + "me", "pass" + "word123", "letme" + "in")
"""Passwords that come by default, spelt so that this file may be read too."""

PAGES = [path for path in texts() if path.suffix == ".md"]
RECORDS = sorted((ROOT / "docs" / "decisions").glob("0*.md"))


def test_the_product_knows_no_default_password() -> None:
    pattern = re.compile(rf"\b({'|'.join(FORBIDDEN)})\b", re.IGNORECASE)

    product = [path for path in texts() if not path.is_relative_to(ROOT / "tests")]  # there they may be refused
    found = [f"{shown(path)}: {match[0]}" for path in product for match in [pattern.search(_read(path))] if match]

    assert found == []


def test_no_file_holds_a_real_api_key() -> None:
    found = [shown(path) for path in texts() if re.search(r"cn_(live|test|team)_[\w-]{40,}", _read(path))]

    assert found == []


def test_links_lead_somewhere() -> None:
    broken = [
        f"{shown(page)}: {link}"
        for page in PAGES
        for link in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", _read(page))
        if not (page.parent / link).exists()
    ]

    assert broken == []


def test_files_named_in_comments_exist() -> None:
    named = {
        (shown(path), name)
        for path in texts()
        for name in re.findall(r"(?<![\w/.])(docs/[\w/.-]*\w)", _read(path))
        if "://" not in name
    }

    missing = [
        (where, name) for where, name in named if not (ROOT / name).exists() and not list(ROOT.glob(f"{name}-*"))
    ]

    assert missing == []


@pytest.mark.parametrize("record", RECORDS, ids=shown)
def test_a_decision_has_context_consequences_and_alternatives(record: Path) -> None:
    words = record.read_text()
    sections = re.findall(r"^## (\w+)", words, re.MULTILINE)

    assert sections == ["Context", "Decision", "Consequences", "Alternatives"]
    assert words.startswith(f"# {record.name[:4]}: ")
    assert f"({record.name})" in (ROOT / "docs" / "decisions" / "README.md").read_text()


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(record.name[:4]) for record in RECORDS] == list(range(1, len(RECORDS) + 1))


def _read(path: Path) -> str:
    return path.read_text(errors="replace")
