"""`carillon apps`: made once, listed with their keys, refused when they cannot be."""

from uuid import UUID

import pytest
from typer.testing import CliRunner

from ops.cli.main import app


@pytest.fixture
def run(database_url: str, tenant: UUID, monkeypatch: pytest.MonkeyPatch) -> "Verb":
    monkeypatch.setenv("CARILLON_DATABASE_URL", database_url)
    return Verb(f"test-{tenant}")


class Verb:
    """`carillon apps …` for one tenant."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant

    def __call__(self, *words: str, code: int = 0) -> str:
        answer = CliRunner().invoke(app, ["apps", *words, "--tenant", self._tenant])
        assert answer.exit_code == code, answer.output
        return answer.output.strip()


def test_an_app_is_made_once_and_keeps_its_key(run: "Verb") -> None:
    key = run("create", "com.example.verb", "--origin", "https://Shop.example:443")

    assert key.startswith("cn_app_")
    assert run("create", "com.example.verb") == key
    assert run("list") == f"{'com.example.verb':<32} {key}  https://shop.example"


def test_what_cannot_be_is_refused_and_nothing_is_changed_by_making_it_again(run: "Verb") -> None:
    run("create", "com.example.verb")

    for words in (
        ["no id"],
        ["com.example.b", "--origin", "shop"],
        ["com.example.verb", "--origin", "https://x.example"],
    ):
        run("create", *words, code=2)

    assert "https" not in run("list")
