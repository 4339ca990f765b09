"""How a child of quarantine ended, in words that stand in the dead letter."""

import pytest

from workers.child import how_it_ended


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "exit code 1"),
        (-9, "killed by SIGKILL"),
        (-11, "killed by SIGSEGV"),
        (-250, "killed by signal 250"),
        (None, "ended after 60 s without an outcome"),
    ],
)
def test_an_end_in_words(code: int | None, words: str) -> None:
    assert how_it_ended(code, 60.0) == words
