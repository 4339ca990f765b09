"""Segments of a text, a provider's answers, and its signed reports."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from channels.sms.answers import failure, retry_after_s
from channels.sms.callbacks import parse, sign, verify
from channels.sms.segments import Encoding, check, count
from domain.errors import DeliveryFailure, Permanent, RecipientGone, RequestRefused, Throttled, Transient
from domain.reasons import Reason
from domain.receipts import ReceiptKind

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DELIVERY = UUID("01990000-0000-7000-8000-000000000001")
SECRET = "a callback secret of this test"


@pytest.mark.parametrize(
    ("text", "encoding", "units", "segments"),
    [
        ("a" * 160, Encoding.GSM_7, 160, 1),
        ("a" * 161, Encoding.GSM_7, 161, 2),
        ("a" * 306, Encoding.GSM_7, 306, 2),
        ("a" * 307, Encoding.GSM_7, 307, 3),
        ("€" * 80, Encoding.GSM_7, 160, 1),
        ("€" * 81, Encoding.GSM_7, 162, 2),
        ("a" * 152 + "€" + "a" * 152, Encoding.GSM_7, 306, 3),
        ("é" * 160, Encoding.GSM_7, 160, 1),
        ("ç", Encoding.UCS_2, 1, 1),
        ("ż" * 70, Encoding.UCS_2, 70, 1),
        ("ż" * 71, Encoding.UCS_2, 71, 2),
        ("😀" * 35, Encoding.UCS_2, 70, 1),
        ("ż" * 66 + "😀" + "ż" * 66, Encoding.UCS_2, 134, 3),
    ],
)
def test_texts_are_counted_as_the_network_bills_them(text: str, encoding: Encoding, units: int, segments: int) -> None:
    measured = count(text)

    assert (measured.encoding, measured.units, measured.count) == (encoding, units, segments)


def test_one_emoji_may_push_a_text_over_the_cap() -> None:
    text = "a" * 400

    assert check(text, max_segments=3).count == 3
    with pytest.raises(Permanent) as caught:
        check(text + "😀", max_segments=3)
    assert caught.value.reason is Reason.CONTENT_TOO_LARGE
    assert "6 segments" in caught.value.answer


@pytest.mark.parametrize("text", ["", "a\0b", "half \ud800"])
def test_texts_that_cannot_travel_are_refused(text: str) -> None:
    with pytest.raises(Permanent) as caught:
        check(text, max_segments=6)
    assert caught.value.reason is Reason.CONTENT_REJECTED


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (400, b'{"error": "unknown_recipient"}', RecipientGone, Reason.ADDRESS_REJECTED),
        (400, b'{"error": "invalid_recipient"}', Permanent, Reason.ADDRESS_REJECTED),
        (422, b"", Permanent, Reason.PROVIDER_REJECTED),
        (404, b"<html>", Permanent, Reason.PROVIDER_REJECTED),
        (410, b"", RecipientGone, Reason.ADDRESS_REJECTED),
        (401, b"", Transient, Reason.PROVIDER_CREDENTIALS),
        (413, b"", Permanent, Reason.CONTENT_TOO_LARGE),
        (408, b"", Transient, Reason.PROVIDER_UNAVAILABLE),
        (425, b"", Transient, Reason.PROVIDER_UNAVAILABLE),
        (429, b"", Throttled, Reason.PROVIDER_THROTTLED),
        (500, b'{"error": "unknown_recipient"}', Transient, Reason.PROVIDER_UNAVAILABLE),
        (503, b"[" * 100_000, Transient, Reason.PROVIDER_UNAVAILABLE),
        (302, b"", Permanent, Reason.PROVIDER_REJECTED),
    ],
)
def test_an_answer_means_what_the_tables_say(
    status: int, body: bytes, kind: type[DeliveryFailure], reason: Reason
) -> None:
    meant = failure(status, body, {}, now=NOW)

    assert type(meant) is kind
    assert meant.reason is reason


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 1.0),
        ("1000000000", 21600.0),
        ("Fri, 20 Nov 2026 12:01:00 GMT", 60.0),
        ("Fri, 20 Nov 2026 11:00:00 GMT", None),
        ("Fri, 20 Nov 2099 11:00:00 GMT", 21600.0),
        ("-1", None),
        ("abc", None),
        ("", None),
        ("1e9", None),
        ("NaN", None),
        ("٣", None),
        ("9" * 400, None),
        (None, None),
    ],
)
def test_retry_after_is_read_kindly_and_kept_within_reason(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, now=NOW) == seconds


def test_a_throttling_answer_carries_the_wait_it_names() -> None:
    meant = failure(429, b"", {"retry-after": "30"}, now=NOW)

    assert isinstance(meant, Throttled)
    assert meant.retry_after_s == 30.0


def _report(**changes: object) -> bytes:
    document = {"message_id": "m1", "reference": str(DELIVERY), "status": "delivered", "error": ""}
    return json.dumps({**document, **changes}).encode()


def test_a_signed_report_is_verified_and_any_change_of_it_is_not() -> None:
    body = _report()
    headers = sign(body, SECRET, message_id="msg_1", now=NOW)

    assert verify(headers, body, SECRET, NOW)
    assert not verify(headers, body + b" ", SECRET, NOW)
    assert not verify(headers, body, SECRET + "x", NOW)
    assert not verify({**headers, "webhook-id": "msg_2"}, body, SECRET, NOW)
    assert not verify({**headers, "webhook-timestamp": "abc"}, body, SECRET, NOW)
    assert not verify({**headers, "webhook-signature": "v1,é"}, body, SECRET, NOW)
    assert not verify({}, body, SECRET, NOW)


def test_a_report_older_or_younger_than_five_minutes_is_a_replay() -> None:
    body = _report()
    headers = sign(body, SECRET, message_id="msg_1", now=NOW)

    assert verify(headers, body, SECRET, NOW + timedelta(minutes=5))
    assert not verify(headers, body, SECRET, NOW + timedelta(minutes=5, seconds=1))
    assert not verify(headers, body, SECRET, NOW - timedelta(minutes=5, seconds=1))


def test_one_good_signature_among_several_is_enough() -> None:
    body = _report()
    headers = sign(body, SECRET, message_id="msg_1", now=NOW)
    headers["webhook-signature"] = "v1,AAAA v1a,BBBB " + headers["webhook-signature"]

    assert verify(headers, body, SECRET, NOW)


def test_signatures_follow_the_published_vector_of_standard_webhooks() -> None:
    body = b'{"test": 2432232314}'
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }

    assert verify(headers, body, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", datetime.fromtimestamp(1614265330, UTC))


@pytest.mark.parametrize(
    ("status", "kind"),
    [("delivered", ReceiptKind.DELIVERED), ("undelivered", ReceiptKind.FAILED), ("bounced", ReceiptKind.BOUNCED)],
)
def test_a_report_becomes_a_receipt(status: str, kind: ReceiptKind) -> None:
    receipt = parse(_report(status=status, error="off\n"), now=NOW)

    assert receipt is not None
    assert (receipt.kind, receipt.delivery_id, receipt.provider_id, receipt.at) == (kind, DELIVERY, "m1", NOW)
    assert (receipt.reason is None) == (kind is ReceiptKind.DELIVERED)
    assert receipt.detail == "off"


def test_a_report_of_a_message_still_on_its_way_needs_no_receipt() -> None:
    assert parse(_report(status="sent"), now=NOW) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        _report(status="flying"),
        _report(status=["delivered"]),
        _report(reference="x"),
        _report(message_id=7),
        _report(message_id="a\0b"),
        _report(message_id=None, reference=None),
    ],
)
def test_anything_else_is_refused_as_unreadable(body: bytes) -> None:
    with pytest.raises(RequestRefused, match="unreadable_callback"):
        parse(body, now=NOW)
