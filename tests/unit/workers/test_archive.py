"""Dead letters: whatever comes out of a dead queue becomes a letter, and letters of one cause share a fingerprint."""

from uuid import uuid4

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from domain.lanes import Channel, Lane, Priority
from domain.reasons import Reason
from plumbing.broker.envelope import Envelope
from tests.unit.workers.test_endings import claimed
from tracking.dead.letters import DeadLetter
from workers.archive import failure_letter, letter_of


def failed(detail: str) -> DeadLetter:
    """The letter of an e-mail whose rendering failed."""
    return failure_letter(claimed(attempt=2), Reason.TEMPLATE_ERROR, detail)


def test_a_failed_delivery_becomes_a_letter_with_its_evidence() -> None:
    letter = failed("no such filter")

    assert (letter.delivery_id, letter.channel, letter.reason) == (claimed().id, Channel.EMAIL, "template_error")
    assert letter.evidence == {"attempt": 2, "template": "t", "template_version": 1}


def test_letters_that_differ_only_in_ids_addresses_and_numbers_share_a_fingerprint() -> None:
    first = failed(f"451 a@example.org {uuid4()} busy")
    second = failed(f"452 b@example.org {uuid4()} busy")
    third = failed("451 disk full")

    assert first.fingerprint == second.fingerprint
    assert first.fingerprint != third.fingerprint


def test_an_envelope_that_came_back_too_often_names_its_tenant() -> None:
    envelope = Envelope(uuid4(), uuid4(), Lane(Channel.SMS, Priority.HIGH), (uuid4(),))

    letter = letter_of("sms", envelope.encode(), {"x-death": []})

    assert (letter.tenant_id, letter.reason, letter.delivery_id) == (envelope.tenant_id, "delivered_too_often", None)


@given(st.binary(max_size=300), st.sampled_from(["email", "sms", "push", "receipts"]))
def test_any_bytes_become_a_letter_that_can_be_written_as_json(body: bytes, of: str) -> None:
    letter = letter_of(of, body, {"x-reason": "unreadable_message", "x-detail": "?"})

    assert msgspec.json.encode(letter.evidence)
    assert letter.reason
