"""The quick reader against the strict one: what it is sure of is what that would have read, and without a fault."""

import json
import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.quick_json import MAX_DEPTH, Doubtful, decode
from api.strict_json import read_slowly

_texts = st.text(st.sampled_from('ab:\\u0zé"{}[],😀\t'), max_size=4)
_numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)


def _object(pairs: list[tuple[str, str]], colon: str) -> str:
    return "{" + ",".join(f"{name}{colon}{value}" for name, value in pairs) + "}"


def _array(values: list[str]) -> str:
    return "[" + ",".join(values) + "]"


_strings = st.builds(json.dumps, _texts, ensure_ascii=st.booleans()) | st.sampled_from(
    [r'"\u003a"', r'"\u003A"', r'"\u0000"', r'"\ud83d\ude00"', r'"\ud83d"', r'"\ude00"', r'"\/\b"', r'"\x"', '"\n"']
)
_raw = st.recursive(
    _strings | _numbers | st.sampled_from(["true", "false", "null", "NaN", "Infinity", "-", "01", " 1\n", "1\f"]),
    lambda inner: (
        st.builds(_object, st.lists(st.tuples(_strings, inner), max_size=4), st.sampled_from([":", ": ", " :"]))
        | st.builds(_array, st.lists(inner, max_size=4))
    ),
    max_leaves=12,
)


def _is_the_same_or_doubtful(raw: bytes) -> None:
    with suppress(Doubtful):
        quick = decode(raw)
        document = read_slowly(raw)
        assert (_exactly(quick), ()) == (_exactly(document.value), document.faults)


def _exactly(value: Any) -> Any:
    """The value with its types, the order of its keys, and floats as their bits."""
    if isinstance(value, dict):
        return [(key, _exactly(each)) for key, each in value.items()]
    if isinstance(value, list):
        return tuple(_exactly(each) for each in value)
    return type(value), struct.pack("d", value) if isinstance(value, float) else value


@given(_raw)
@example('{"a":1,"a":2}')
@example(r'{"a":"\u003a","a":2}')
@example(r'{"a":"\u003a","b":"x:y","b":""}')
def test_what_it_is_sure_of_the_strict_reader_reads_too(raw: str) -> None:
    _is_the_same_or_doubtful(raw.encode())


@given(st.binary(max_size=40) | st.builds(b'"%b"'.__mod__, st.binary(max_size=12)))
@example(b'"\xed\xa0\x80"')
@example(b'{"\xff":1}')
@example(b"\xef\xbb\xbf{}")
def test_it_takes_no_bytes_that_the_strict_reader_refuses(raw: bytes) -> None:
    _is_the_same_or_doubtful(raw)


@pytest.mark.parametrize(
    "raw",
    [
        '{"to":"user-1","content":{"title":"a","body":"b"},"channels":["push"]}',
        ' { "to" : "user:1" ,\n "data" : { "url": "https://example.org:8443/?a=b:c", "a:b": [1, -2.5e3, null] } } ',
        '{"title":"Café: 10 ☕"}',
        json.dumps({"title": "Café ☕"}),
    ],
)
def test_it_is_sure_of_what_is_usually_sent(raw: str) -> None:
    assert decode(raw.encode()) == json.loads(raw)


@pytest.mark.parametrize("around", [0, 1])
def test_it_is_sure_up_to_the_deepest_nesting(around: int) -> None:
    depth = MAX_DEPTH + around

    if around:
        with pytest.raises(Doubtful):
            decode(b"[" * depth + b"]" * depth)
    else:
        decode(b"[" * depth + b"]" * depth)


@pytest.mark.parametrize("raw", [b"9223372036854775808", b"-9223372036854775809", rb'"\u0000"', b'{"a":{"b":1,"b":1}}'])
def test_it_is_not_sure_of_what_has_a_fault(raw: bytes) -> None:
    with pytest.raises(Doubtful):
        decode(raw)
