"""Words that would become something else on their way to a mail server: refused at the door, with a pointer."""

import pytest

from tests.integration.api.doors import Door


def email(subject: str) -> dict[str, object]:
    """An email with this subject."""
    return {"to": "user-1", "content": {"email": {"subject": subject, "text": "Hello"}}}


@pytest.mark.parametrize(
    "break_", ["\r\nBcc: e@x.example", "\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\x1b", "\x7f"]
)
def test_59_a_subject_of_two_lines_is_refused(door: Door, break_: str) -> None:
    answer = door.post(email(f"Hello{break_}World"))

    assert answer.status == 422
    assert answer.pointers() == ["/content/email/subject"]
    assert door.batcher.items == []


@pytest.mark.parametrize(
    "word",
    ["=?utf-8?q?x=0D=0ABcc:_e@x?=", "=?utf-8?b?eA0KQmNjOiBlQHg=?=", "Hi =?UTF-8?Q?a?= there", "=?utf-8*en?q?x?="],
)
def test_60_an_encoded_word_in_a_subject_is_refused(door: Door, word: str) -> None:
    answer = door.post(email(word))

    assert answer.status == 422
    assert answer.pointers() == ["/content/email/subject"]


def test_60_questions_and_equations_are_no_encoded_words(door: Door) -> None:
    assert door.post(email("1 + 1 =? Really? Yes! 50 % = half")).status == 202


def test_61_nobody_names_headers(door: Door) -> None:
    words = {"subject": "Hello", "text": "Hello", "headers": {"X\r\nBcc": "e@x.example"}}

    answer = door.post({"to": "user-1", "content": {"email": words}})

    assert answer.status == 422
    assert answer.pointers() == ["/content/email/headers"]


def test_62_a_subject_with_nul_is_refused(door: Door) -> None:
    answer = door.post(email("Hello\0World"))

    assert answer.status == 422
    assert answer.pointers() == ["/content/email/subject"]


@pytest.mark.parametrize("field", ["title"])
def test_59_to_62_hold_for_titles_which_become_subjects(door: Door, field: str) -> None:
    for text in ("a\nb", "a\u2028b", "=?utf-8?q?x?="):
        answer = door.post({"to": "user-1", "content": {field: text, "body": "Hello"}})

        assert answer.status == 422
        assert answer.pointers() == [f"/content/{field}"]


@pytest.mark.parametrize(
    "address",
    [
        "a@b.example, evil@x.example",
        "<a@b.example> <e@x.example>",
        '"a@evil.example"@b.example',
        "a@[127.0.0.1]",
        "=?utf-8?q?a=40evil.com=3E?= <a@b.example>",
        "Ada <a@b.example>",
        "a@b.example(comment)",
        "a@@b.example",
        "a@" + "b" * 250 + ".example",
        "",
    ],
)
def test_63_what_is_not_one_plain_address_is_refused(door: Door, address: str) -> None:
    answer = door.post({"to": {"email": address}, "content": {"title": "Hello", "body": "World"}})

    assert answer.status == 422
    assert answer.pointers()[0] == "/to/email"


@pytest.mark.parametrize("address", ["a@b.example\r\nRCPT TO:<evil@x.example>", "a@b.example\n", "a\0@b.example"])
def test_64_an_address_that_would_speak_smtp_is_refused(door: Door, address: str) -> None:
    answer = door.post({"to": {"email": address}, "content": {"title": "Hello", "body": "World"}})

    assert answer.status == 422
    assert answer.pointers()[0] == "/to/email"


def test_65_dots_and_bare_line_feeds_in_a_body_are_words_like_others(door: Door) -> None:
    body = "Hello\n.\r\n.\nMAIL FROM:<evil@x.example>\r\n.\r\n"

    answer = door.post({"to": "user-1", "content": {"title": "Hello", "body": body}})

    assert answer.status == 202
    content = door.batcher.items[0].request.content
    assert content is not None
    assert content.body == body


def test_66_attachments_do_not_exist_and_are_not_ignored(door: Door) -> None:
    words = {"subject": "Hello", "text": "Hello", "attachments": [{"filename": "../../x\r\n"}]}

    answer = door.post({"to": "user-1", "content": {"email": words}})

    assert answer.status == 422
    assert answer.pointers() == ["/content/email/attachments"]


@pytest.mark.parametrize(
    "number", ["0612345678", "+1 415;ext=1", "+", "letters", "+" + "1" * 40, "+３３６１２３４５６７８", "12345"]
)
def test_what_is_not_one_number_in_e164_is_refused(door: Door, number: str) -> None:
    answer = door.post({"to": {"phone": number}, "content": {"body": "World"}})

    assert answer.status == 422
    assert answer.pointers()[0] == "/to/phone"
