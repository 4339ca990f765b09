"""What the tests of messages share: a folder to write them into, and a reader."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from templates.catalog import Message, read_message
from templates.render import Person

Write = Callable[..., Message]


@pytest.fixture
def reader() -> Person:
    """Somebody with a name who lives in Tokyo."""
    return Person("Ana", "Asia/Tokyo", "u-1")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write one message and read it: `write({"sms.txt": "Hi"})`."""

    def written(files: dict[str, Any], name: str = "note") -> Message:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for file, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (folder / file).write_text(text, encoding="utf-8")
        return read_message(folder)

    return written
