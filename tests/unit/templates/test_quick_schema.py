"""The quick look at data says yes only where jsonschema finds nothing, and does say it to what is usual."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from templates.catalog import Catalog, Message
from templates.quick_schema import quick_yes

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text("ab1\n", max_size=3)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "null", "object", "array"])
KEYWORDS: dict[str, st.SearchStrategy[Any]] = {
    "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
    "minimum": st.integers(-2, 2) | st.just(0.5),
    "maximum": st.integers(-2, 2) | st.just(0.5),
    "minLength": st.integers(0, 3),
    "maxLength": st.integers(0, 3),
    "pattern": st.sampled_from(["a", "^a", "^[ab]+$", "^$"]),
    "enum": st.lists(SCALARS, min_size=1, max_size=3),
    "minItems": st.integers(0, 3),
    "maxItems": st.integers(0, 3),
    "required": st.lists(st.sampled_from("abc"), max_size=2, unique=True),
    "additionalProperties": st.booleans(),
    "$schema": st.sampled_from([Draft202012Validator.META_SCHEMA["$id"], "http://json-schema.org/draft-04/schema#"]),
}


def schemas(children: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Schemas of some keywords, and of `children` within them."""
    inner = {"properties": st.dictionaries(st.sampled_from("abc"), children, max_size=3), "items": children}
    return st.fixed_dictionaries({}, optional=KEYWORDS | inner)


SCHEMAS = st.recursive(st.fixed_dictionaries({}, optional=KEYWORDS), schemas, max_leaves=4)


@given(SCHEMAS, DATA)
def test_it_says_yes_only_where_jsonschema_finds_nothing(schema: dict[str, Any], data: Any) -> None:
    look = quick_yes(schema)

    if look is not None and look(data):
        assert list(Draft202012Validator(schema).iter_errors(data)) == []


@pytest.mark.parametrize("message", [Catalog.shipped().get(name) for name in Catalog.shipped().names()])
def test_it_says_yes_to_the_samples_of_what_is_shipped(message: Message) -> None:
    assert message.quick_yes is not None
    assert message.quick_yes(message.sample)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer"}, 1, True),
        ({"type": ["string", "null"]}, None, 0),
        ({"minimum": 2, "maximum": 3}, 2.5, 1),
        ({"minLength": 1, "maxLength": 2, "pattern": "b$"}, "ab", "abb"),
        ({"enum": ["on", "off"]}, "on", "of"),
        ({"items": {"type": "string"}, "minItems": 1, "maxItems": 2}, ["a"], [1]),
        ({"required": ["a"], "properties": {"a": {"type": "object"}}}, {"a": {}}, {"a": []}),
        ({"required": ["a"]}, {"a": None}, {"b": 1}),
    ],
)
def test_each_keyword_is_understood(schema: dict[str, Any], good: Any, bad: Any) -> None:
    look = quick_yes(schema)

    assert look is not None
    assert look(good)
    assert not look(bad)


def test_a_schema_with_any_other_keyword_is_left_to_jsonschema() -> None:
    assert quick_yes({"properties": {"a": {"multipleOf": 2}}}) is None
    assert quick_yes({"items": False}) is None
