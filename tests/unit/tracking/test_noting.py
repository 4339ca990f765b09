"""Statements that tell webhooks: others while nobody listens, and none that would tell nobody without saying so."""

import pytest

from plumbing.listening import LISTENING
from tracking import ending, finish, receipts, sent
from tracking.webhooks.noting import heard, telling

STATEMENTS = [sent._SENT, sent._ACKED, finish._FINISH, receipts._APPLY, ending._END]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_without_webhooks_a_statement_is_the_very_one_that_it_was(
    statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LISTENING, "is_on", False)
    usual = heard(statement)
    monkeypatch.setattr(LISTENING, "is_on", True)

    assert usual is statement
    assert heard(statement) == telling(statement) != statement


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        "UPDATE deliveries d SET status = 5 WHERE d.id = $1",
        "WITH x AS (UPDATE deliveries d SET status = 5 RETURNING d.attempt) SELECT * FROM x",
    ],
)
def test_a_statement_of_another_form_is_refused_instead_of_telling_nobody(statement: str) -> None:
    with pytest.raises(RuntimeError, match="nobody would be told"):
        telling(statement)
