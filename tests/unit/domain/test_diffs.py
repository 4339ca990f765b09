"""Differences of JSON: every change is told with its pointer and what was there before; merging follows RFC 7396."""

import pytest

from domain.diffs import diff, merged


def test_equal_values_do_not_differ() -> None:
    assert diff({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}) == []


def test_differences_are_told_by_pointer_with_what_was() -> None:
    before = {"a": 1, "b": {"c/d": "x", "~": 1}, "gone": [1]}
    after = {"a": True, "b": {"c/d": "y", "~": 1, "e": None}}

    assert diff(before, after, "/data") == [
        {"op": "replace", "path": "/data/a", "value": True, "was": 1},
        {"op": "replace", "path": "/data/b/c~1d", "value": "y", "was": "x"},
        {"op": "add", "path": "/data/b/e", "value": None},
        {"op": "remove", "path": "/data/gone", "was": [1]},
    ]


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merging_is_that_of_rfc_7396(before: object, patch: object, after: object) -> None:
    assert merged(before, patch) == after
