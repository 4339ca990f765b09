"""The demo believes the providers' ledger and the device, and nobody else: what differs from them is named."""

from uuid import uuid4

import pytest

from domain.lanes import Channel
from ops.demo.play import Act, Told
from ops.demo.proof import compare
from ops.demo.scenes import SCENES
from ops.simulated.ledger import Entry, LedgerOutcome, LedgerReader

RUN = "abc123"


def test_a_ledger_that_took_what_was_told_agrees() -> None:
    act, entries = _shipped()

    proof = compare([act], LedgerReader(tuple(entries)), [], RUN)

    assert proof.faults == ()
    assert proof.taken == 2


def test_what_the_provider_never_took_is_missed() -> None:
    act, entries = _shipped()

    proof = compare([act], LedgerReader(tuple(entries[:1])), [], RUN)

    assert len(proof.faults) == 1
    assert "by sms: the provider took it 0 times, it should be 1" in proof.faults[0]


def test_what_the_provider_took_twice_is_seen() -> None:
    act, entries = _shipped()

    proof = compare([act], LedgerReader((*entries, entries[0])), [], RUN)

    assert len(proof.faults) == 1
    assert "by email: the provider took it 2 times" in proof.faults[0]


def test_a_delivery_that_nobody_knows_is_seen() -> None:
    act, entries = _shipped()
    stranger = _entry("smtp", f"ok+eve-{RUN}@example.com", str(uuid4()))

    proof = compare([act], LedgerReader((*entries, stranger)), [], RUN)

    assert len(proof.faults) == 1
    assert stranger.delivery_id in proof.faults[0]


def test_other_performances_in_the_same_ledger_do_not_matter() -> None:
    act, entries = _shipped()
    other = _entry("smtp", "ok+ada-ffffff@example.com", str(uuid4()))

    assert compare([act], LedgerReader((*entries, other)), [], RUN).faults == ()


def test_a_delivery_that_ended_otherwise_is_a_fault() -> None:
    act, _ = _shipped()
    act.deliveries[1].status = "failed"
    act.deliveries[1].reason = "provider_rejected"

    assert act.faults([act]) == [
        "“An order has shipped” by sms is failed, not delivered",
        "“An order has shipped” by sms has the reason provider_rejected, not None",
    ]


def test_a_repetition_that_was_accepted_again_is_a_fault() -> None:
    first, _ = _shipped()
    again = Act(next(scene for scene in SCENES if scene.repeats == 0), answer={"id": "2", "status": "accepted"})

    assert again.faults([first]) == ["“The first one once more” was not recognised as a duplicate"]


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (["first"], ""),
        ([], "by push: the device showed it 0 times, it should be 1"),
        (["first", "first"], "by push: the device showed it 2 times, it should be 1"),
        (["first", "other"], "the device showed other, which nobody here knows"),
    ],
)
def test_what_the_device_showed_is_held_against_what_was_told(shown: list[str], words: str) -> None:
    scene = next(scene for scene in SCENES if Channel.PUSH in scene.ends and not scene.by_door)
    told = Told("first", Channel.PUSH, "delivered", None, attempts=1)

    proof = compare([Act(scene, deliveries=[told])], LedgerReader(()), shown, RUN)

    assert len(proof.faults) == (1 if words else 0)
    assert words in "".join(proof.faults)


def _shipped() -> tuple[Act, list[Entry]]:
    told = [
        Told(str(uuid4()), Channel.EMAIL, "sent", None, attempts=1),
        Told(str(uuid4()), Channel.SMS, "delivered", None, attempts=1),
    ]
    entries = [_entry("smtp", f"ok+ada-{RUN}@example.com", told[0].id), _entry("sms", "+14155550100", told[1].id)]
    return Act(SCENES[0], answer={"id": "1", "status": "accepted"}, deliveries=told), entries


def _entry(provider: str, recipient: str, delivery_id: str) -> Entry:
    return Entry("2026-11-20T12:00:00.000Z", provider, recipient, uuid4().hex, delivery_id, LedgerOutcome.ACCEPTED)
