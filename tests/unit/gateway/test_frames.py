"""What devices may say: parsed strictly, bounded in depth, fields and ids; everything else has a close code."""

import json
from uuid import uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.push.gateway.codes import CloseCode
from channels.push.gateway.frames import MAX_BATCH, MAX_BATCH_BYTES, Ack, Hello, Misspoken, Seen, batches, parse

ONE = str(uuid4())


def code_of(message: bytes) -> CloseCode | None:
    try:
        parse(message)
    except Misspoken as error:
        return error.code
    return None


def test_the_frames_of_a_client_are_understood() -> None:
    hello = parse(b'{"type":"hello","app_key":"cn_app_x","token":"t","last_seen":null,"nap_s":60,"region":"north"}')
    ack = parse(json.dumps({"type": "ack", "ids": [{"id": ONE, "code": 102}, {"id": ONE}]}).encode())
    seen = parse(json.dumps({"type": "seen", "ids": [ONE]}).encode())

    assert hello == Hello("cn_app_x", "t", None, 60, "north")
    assert isinstance(ack, Ack)
    assert [one.code for one in ack.ids] == [102, 100]
    assert isinstance(seen, Seen)
    assert str(seen.ids[0]) == ONE
    assert parse(b"{}") is None


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b'{"type":"__class__"}', CloseCode.POLICY),
        (b'{"type":["hello"]}', CloseCode.POLICY),
        (b'{"__proto__":{}}', CloseCode.POLICY),
        (b"[" * 10_000, CloseCode.POLICY),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, CloseCode.POLICY),
        (b'{"type":"ack","ids":' + b"[" * 5000 + b"]" * 5000 + b"}", CloseCode.POLICY),
        (b"{" + b",".join(b'"k%d":1' % i for i in range(6000)) + b"}", CloseCode.POLICY),
        (b"", CloseCode.MALFORMED),
        (b"{", CloseCode.MALFORMED),
        (b"null", CloseCode.MALFORMED),
        (b"[]", CloseCode.MALFORMED),
        (b'{"type":"ack"}', CloseCode.MALFORMED),
        (b'{"type":"ack","ids":[{"id":"no uuid","code":100}]}', CloseCode.MALFORMED),
        (json.dumps({"type": "ack", "ids": [{"id": ONE, "code": 99}]}).encode(), CloseCode.MALFORMED),
        (json.dumps({"type": "ack", "ids": [{"id": ONE, "code": True}]}).encode(), CloseCode.MALFORMED),
        (json.dumps({"type": "seen", "ids": [ONE], "more": 1}).encode(), CloseCode.MALFORMED),
        (b'{"type":"hello","app_key":"","token":"t"}', CloseCode.MALFORMED),
        (b'{"type":"hello","app_key":"a","token":"t","nap_s":3601}', CloseCode.MALFORMED),
        (b'{"type":"hello","app_key":"a","token":"t","nap_s":1e30}', CloseCode.MALFORMED),
        (b'{"type":"hello","app_key":"a","token":"' + b"t" * 600 + b'"}', CloseCode.MALFORMED),
        (b'{"type":"hello","app_key":"a","token":"\\ud800"}', CloseCode.MALFORMED),
        (b'{"type":"hello","app_key":"a","token":"\xc3\x28"}', CloseCode.INVALID_TEXT),
        (b"\xff\xfe", CloseCode.INVALID_TEXT),
        (json.dumps({"type": "seen", "ids": [ONE] * 1001}).encode(), CloseCode.TOO_MUCH),
    ],
)
def test_what_is_no_frame_has_its_close_code(message: bytes, code: CloseCode) -> None:
    assert code_of(message) is code


@given(st.binary(max_size=300))
def test_any_bytes_are_a_frame_or_misspoken(message: bytes) -> None:
    code_of(message)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["type", "ids", "id", "code", "app_key", "token", "nap_s"]), inner)
        ),
        max_leaves=20,
    ).map(lambda value: {**value, "type": "ack"} if isinstance(value, dict) else value)
)
def test_any_json_is_a_frame_or_misspoken(value: object) -> None:
    code_of(msgspec.json.encode(value))


@given(st.lists(st.integers(min_value=1, max_value=6000), max_size=130))
def test_batches_hold_everything_in_order_within_their_bounds(sizes: list[int]) -> None:
    texts = [json.dumps({"id": index, "x": "x" * size}).encode() for index, size in enumerate(sizes)]

    frames = batches(texts)

    held = [one for frame in frames for one in json.loads(frame)["notifications"]]
    assert held == [json.loads(text) for text in texts]
    assert all(len(frame) <= MAX_BATCH_BYTES for frame in frames)
    assert all(len(json.loads(frame)["notifications"]) <= MAX_BATCH for frame in frames)
