"""Envelopes: what was put in comes out, and everything else is unreadable, never a crash."""

import json
from contextlib import suppress
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.lanes import DECLARED_LANES, ENVELOPE_SIZES, Lane
from plumbing.broker.envelope import MAX_BYTES, VERSION, Envelope, UnreadableEnvelope, decode

ENVELOPES = st.builds(
    Envelope,
    st.uuids(),
    st.uuids(),
    st.sampled_from(DECLARED_LANES),
    st.lists(st.uuids(), min_size=1, max_size=50).map(tuple),
)
LANE = DECLARED_LANES[0]


def wire(**changes: object) -> bytes:
    fields = {
        "v": VERSION,
        "id": str(uuid4()),
        "tenant": str(uuid4()),
        "lane": str(LANE),
        "ids": [str(uuid4())],
        **changes,
    }
    return json.dumps(fields).encode()


@given(ENVELOPES)
def test_an_envelope_comes_out_as_it_went_in(envelope: Envelope) -> None:
    assert decode(envelope.encode()) == envelope


@pytest.mark.parametrize("lane", DECLARED_LANES, ids=str)
def test_the_largest_envelope_of_each_lane_fits_many_times(lane: Lane) -> None:
    ids = tuple(uuid4() for _ in range(ENVELOPE_SIZES[lane.channel]))

    assert len(Envelope(uuid4(), uuid4(), lane, ids).encode()) < MAX_BYTES / 8


@given(st.binary(max_size=400))
def test_random_bytes_are_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableEnvelope):
        decode(body)


@given(ENVELOPES, st.data())
def test_a_broken_envelope_is_unreadable_or_another_envelope_but_never_a_crash(
    envelope: Envelope, data: st.DataObject
) -> None:
    body = bytearray(envelope.encode())
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))

    with suppress(UnreadableEnvelope):
        assert isinstance(decode(bytes(body)), Envelope)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="a list"),
        pytest.param(wire(v=VERSION + 1), id="a newer version"),
        pytest.param(wire(v=0), id="an older version"),
        pytest.param(wire(v=str(VERSION)), id="a version in letters"),
        pytest.param(wire(v=True), id="a version that is true"),
        pytest.param(wire(id="not-a-uuid"), id="an id that is none"),
        pytest.param(wire(tenant=None), id="no tenant"),
        pytest.param(wire(lane="email"), id="half a lane"),
        pytest.param(wire(lane="pigeon.high"), id="an unknown channel"),
        pytest.param(wire(ids=[]), id="no deliveries"),
        pytest.param(wire(ids="abc"), id="deliveries that are no list"),
        pytest.param(wire()[:-1], id="cut short"),
        pytest.param(wire() + b"{}", id="followed by more"),
        pytest.param(wire().decode().encode("utf-16"), id="in UTF-16"),
        pytest.param(wire(more=json.loads("[" * 500 + "]" * 500)) * 2, id="twice"),
        pytest.param(b'{"x":' + b"[" * 100_000, id="very deep"),
        pytest.param(wire(ids=[str(uuid4())] * 8000), id="oversized"),
        pytest.param(b" " * (20 * 1024 * 1024), id="20 MB"),
    ],
)
def test_what_is_no_envelope_of_this_version_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableEnvelope):
        decode(body)


def test_a_field_that_a_later_writer_added_is_passed_over() -> None:
    envelope_id = uuid4()

    assert decode(wire(id=str(envelope_id), later={"a": [1]})).id == envelope_id


@pytest.mark.parametrize("count", [0, 8000])
def test_an_empty_or_oversized_envelope_is_never_written(count: int) -> None:
    with pytest.raises(ValueError, match="an envelope"):
        Envelope(uuid4(), uuid4(), LANE, (UUID(int=1),) * count).encode()
