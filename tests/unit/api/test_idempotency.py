"""Idempotency keys: what is a key, and what is another request."""

from uuid import UUID, uuid4

import pytest

from api.idempotency import read_key, refuse_key, unquote
from domain.errors import RequestRefused
from domain.notification import Mode

TENANT = UUID("01930b7a-6c00-7f2e-8a51-000000000001")


def key(
    header: str = "k", tenant_id: UUID = TENANT, mode: Mode = Mode.LIVE, path: str = "/a", body: object = None
) -> tuple[UUID, UUID]:
    """The two hashes of a request."""
    found = read_key(header, tenant_id, mode, method="POST", path=path, body=body)
    assert found is not None
    return found.key, found.fingerprint


def test_the_order_of_fields_makes_no_other_request() -> None:
    assert key(body={"a": 1, "b": {"c": 2, "d": 3}}) == key(body={"b": {"d": 3, "c": 2}, "a": 1})


def test_another_body_or_path_has_another_fingerprint_under_the_same_key() -> None:
    first, *others = key(body={"a": 1}), key(body={"a": 2}), key(path="/b", body={"a": 1})

    assert all(other[0] == first[0] and other[1] != first[1] for other in others)


def test_another_tenant_has_another_key() -> None:
    assert key()[0] != key(tenant_id=uuid4())[0]


def test_what_a_test_key_sent_never_stands_for_a_live_send() -> None:
    assert key()[0] != key(mode=Mode.TEST)[0]


def test_a_body_that_cannot_be_kept_has_a_fingerprint_all_the_same() -> None:
    assert key(body=["\ud800"]) != key(body=["\ud801"])


@pytest.mark.parametrize("header", ["", " ", '""', "a" * 256, "a b", "a\x7f", "a\tb", "ü", "\x00"])
def test_what_is_no_key_is_refused(header: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        unquote(header)

    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("header", "text"), [("a", "a"), ('"a"', "a"), (" a ", "a"), ('"', '"'), ("a" * 255, "a" * 255)]
)
def test_a_key_comes_bare_or_quoted(header: str, text: str) -> None:
    assert unquote(header) == text


def test_a_key_where_it_would_be_ignored_is_refused() -> None:
    refuse_key(None)

    with pytest.raises(RequestRefused) as refused:
        refuse_key("a")

    assert refused.value.reason == "not_available_yet"
