"""Reading folders of messages: versions, what data is needed, and mistakes of authors named with their file."""

from pathlib import Path
from typing import Any

import pytest

from domain.errors import Fault, Misconfigured
from domain.lanes import Channel
from templates.catalog import Catalog
from templates.fitting import check
from tests.unit.templates.conftest import Write

EMAIL = {"email.subject.txt": "S", "email.txt": "Dear {{ who }}"}


def test_the_version_is_stable_and_changes_with_the_content(write: Write) -> None:
    first = write({"sms.txt": "Hi {{ name }}"}).version

    again = write({"sms.txt": "Hi {{ name }}"}, "other").version
    changed = write({"sms.txt": "Hello {{ name }}"}).version

    assert first == again
    assert changed != first
    assert all(0 < version < 2**31 for version in (first, changed))


def test_the_version_of_known_content_is_the_same_in_every_process(write: Write) -> None:
    assert write({"sms.txt": "Hi"}).version == 820458364


def test_moving_words_between_files_changes_the_version(write: Write) -> None:
    one = write({"email.subject.txt": "ab", "email.txt": "c"}, "one")
    two = write({"email.subject.txt": "a", "email.txt": "bc"}, "two")

    assert one.version != two.version


def test_a_later_folder_replaces_a_message_and_adds_others(tmp_path: Path) -> None:
    for name in ("welcome", "extra"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sms.txt").write_text("Ours")

    catalog = Catalog.shipped(tmp_path)

    welcome = catalog.get("welcome")
    assert welcome is not None
    assert welcome.channels == {Channel.SMS}
    assert {"extra", "order_shipped"} <= set(catalog.names())
    assert catalog.get("nobody") is None


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(Misconfigured, match="no folder of messages at /nowhere"):
        Catalog.shipped(Path("/nowhere"))


def test_variables_are_the_top_level_names_that_data_must_bring(write: Write) -> None:
    message = write(
        {
            "email.subject.txt": "{{ order.id }}",
            "email.txt": "{% for item in items %}{{ item.name }}{{ loop.index }}{% endfor %}{{ person.name }}",
            "email.html": "{{ note|default('') }}{% if gift is defined %}{{ gift }}{% endif %}{{ unsubscribe_url }}",
            "sms.txt": "{{ code }}{% for i in range(2) %}{% set x = i %}{{ x }}{% endfor %}",
        }
    )

    assert message.variables(Channel.EMAIL) == {"order", "items"}
    assert message.variables(Channel.SMS) == {"code"}
    assert message.variables(Channel.PUSH) == frozenset()


def test_a_name_is_needed_when_one_of_its_uses_has_no_default(write: Write) -> None:
    message = write({"sms.txt": "{{ note|default('-') }} {{ note }}"})

    assert message.variables(Channel.SMS) == {"note"}


@pytest.mark.parametrize("data", [{}, {"who": None}])
def test_check_points_at_what_is_missing_or_null(write: Write, data: dict[str, Any]) -> None:
    message = write({**EMAIL, "sms.txt": "{{ code }}"})

    faults = check(message, [Channel.EMAIL], data)

    assert faults == [Fault("/data/who", "who is missing: note needs it")]


def test_check_looks_at_every_locale(write: Write) -> None:
    message = write({"sms.txt": "Hi", "sms.fr.txt": "Salut {{ nom }}"})

    assert [fault.pointer for fault in check(message, [Channel.SMS], {})] == ["/data/nom"]


def test_check_lets_more_data_pass_than_is_needed(write: Write) -> None:
    assert check(write(EMAIL), [Channel.EMAIL], {"who": "you", "more": {"deep": [1]}}) == []


def test_check_points_into_the_data_where_the_schema_is_broken(write: Write) -> None:
    line = {"type": "object", "required": ["price"], "properties": {"a/b": {"type": "integer"}}}
    schema = {"type": "object", "required": ["who", "lines"], "properties": {"lines": {"type": "array", "items": line}}}
    message = write({**EMAIL, "schema.json": schema})

    faults = check(message, [Channel.EMAIL], {"who": "you", "lines": [{"price": 1}, {"a/b": "x"}]})

    assert {fault.pointer for fault in faults} == {"/data/lines/1/price", "/data/lines/1/a~1b"}


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"maxLength": 6}, "does not fit maxLength: 6"),
        ({"type": "integer"}, 'does not fit type: "integer"'),
        ({"enum": ["a", "b"]}, 'does not fit enum: ["a", "b"]'),
        ({"not": {"type": "string"}}, "does not fit not"),
    ],
)
def test_88_a_refusal_names_the_rule_of_the_schema_and_never_the_value(
    write: Write, rule: dict[str, object], told: str
) -> None:
    message = write({**EMAIL, "schema.json": {"type": "object", "properties": {"who": rule}}})

    assert check(message, [Channel.EMAIL], {"who": "481 516"}) == [Fault("/data/who", told)]


def test_what_words_and_schema_both_miss_is_said_once(write: Write) -> None:
    message = write({**EMAIL, "schema.json": {"required": ["who", "else"]}})

    faults = check(message, [Channel.EMAIL], {})

    assert [fault.pointer for fault in faults] == ["/data/who", "/data/else"]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"sms.txt": "a\n{{ open"}, r"sms\.txt:2: "),
        ({"sms.txt": "{{ x|nosuchfilter }}"}, r"sms\.txt:1: No filter named 'nosuchfilter'"),
        ({"sms.txt": "Hi", "message.json": "{"}, r"message\.json: is not JSON"),
        ({"sms.txt": "Hi", "sample.json": "[]"}, r"sample\.json: must hold an object"),
        ({"sms.txt": "Hi", "schema.json": {"type": 7}}, r"schema\.json: is not a JSON Schema"),
        ({"sms.txt": "Hi", "notes.md": "x"}, r"notes\.md: is not a file of a message"),
        ({"sms.html": "Hi"}, r"sms\.html: is not a file of a message"),
        ({**EMAIL, "email.html": "<p>\n<a class={{ x }}>"}, r"email\.html:2: put quotes around"),
        ({"message.json": {}}, "has no words"),
        ({"email.txt": "Hi"}, "has no words"),
        ({"sms.fr.txt": "Salut"}, "but none for everybody else"),
        ({**EMAIL, "email.html": "<p>", "email.fr.txt": "F", "email.subject.fr.txt": "F"}, r"but not email\.html"),
    ],
)
def test_a_mistake_of_an_author_is_named_with_its_place(write: Write, files: dict[str, Any], told: str) -> None:
    with pytest.raises(Misconfigured, match=told):
        write(files)


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "note").mkdir()
    (tmp_path / "note" / "sms.txt").write_bytes(b"\xff\xfe")

    with pytest.raises(Misconfigured, match=r"sms\.txt: is not UTF-8"):
        Catalog([tmp_path])


def test_a_schema_never_fetches_another_from_outside(write: Write) -> None:
    message = write({**EMAIL, "schema.json": {"$ref": "https://schemas.example.com/other.json"}})

    with pytest.raises(Exception, match="Unresolvable"):
        check(message, [Channel.EMAIL], {"who": "you"})
