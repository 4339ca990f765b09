"""The strict reader against the standard library's: the same values for good JSON, and no surprise for any bytes."""

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.quick_json import MAX_DEPTH
from api.strict_json import read, read_clean, read_slowly
from domain.errors import RequestRefused

_leaves = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
_texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
_documents = st.recursive(
    _leaves | _texts, lambda inner: st.lists(inner) | st.dictionaries(_texts, inner), max_leaves=30
)


@given(_documents, st.booleans())
def test_good_json_is_read_as_by_the_standard_library(document: Any, ascii_only: bool) -> None:
    raw = json.dumps(document, ensure_ascii=ascii_only).encode()

    assert read_clean(raw) == read_slowly(raw).value == document


@given(st.binary(max_size=200) | st.text('{}[]":,\\u0dD8n1eE.-', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused_and_nothing_else(raw: bytes) -> None:
    with suppress(RequestRefused):
        document = read(raw)
        if not document.faults:
            json.dumps(document.value, allow_nan=False).encode()


@given(_documents, st.sampled_from(["\0", "\ud800", math.nan, math.inf, 2**63, -(2**63) - 1]))
def test_what_cannot_be_kept_is_found_wherever_it_stands(document: Any, bad: Any) -> None:
    found = read(json.dumps([document, {"a/b~c": [bad]}]).encode())

    assert [fault.pointer for fault in found.faults] == ["/1/a~1b~0c/0"]


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("around", [0, 1])
def test_the_deepest_nesting_that_is_taken_is_32(opening: str, around: int) -> None:
    closing = "]" if opening == "[" else "}"
    inner = closing if opening == "[" else "1" + closing
    depth = MAX_DEPTH + around
    raw = (opening * depth + inner + closing * (depth - 1)).encode()

    assert bool(read(raw).faults) is bool(around)


def test_brackets_inside_texts_are_no_nesting() -> None:
    text = "[" * 200 + '\\"{' * 50

    assert not read(f'{{"a":"{text}"}}'.encode()).faults


@pytest.mark.parametrize("brackets", [b"[" * 4_000_000, b"[}" * 2_000_000, b'{"a":' * 800_000])
def test_four_megabytes_of_brackets_are_refused(brackets: bytes) -> None:
    with pytest.raises(RequestRefused) as refused:
        read(brackets)

    assert refused.value.status == 400


def test_names_of_fields_are_looked_at_too() -> None:
    assert [fault.pointer for fault in read(rb'{"a":{"b\u0000":1}}').faults] == ["/a/b�"]


def test_a_document_full_of_faults_names_the_first_twenty() -> None:
    assert len(read(b"[" + b",".join([b"NaN"] * 1000) + b"]").faults) == 20
