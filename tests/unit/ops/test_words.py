"""What is written on a command line, as the API gets it."""

import pytest
import typer

from ops.cli.words import recipient, template_data


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("user-42", "user-42"),
        ("ada@example.org", {"email": "ada@example.org"}),
        ("+14155550100", {"phone": "+14155550100"}),
        ('{"user": "user-42", "locale": "fr"}', {"user": "user-42", "locale": "fr"}),
    ],
)
def test_a_recipient_is_known_by_its_look(text: str, meant: object) -> None:
    assert recipient(text) == meant


def test_data_is_text_by_pairs_or_anything_by_json_and_the_later_one_wins() -> None:
    assert template_data(["order=A-1", '{"count": 2}', "order=A-2", "note=a=b"]) == {
        "order": "A-2",
        "count": 2,
        "note": "a=b",
    }


@pytest.mark.parametrize("piece", ["order", "=x", "{nonsense", "{1}"])
def test_what_is_neither_is_refused_by_name(piece: str) -> None:
    with pytest.raises(typer.BadParameter) as refusal:
        template_data([piece])

    assert refusal.value.param_hint == "--data"
