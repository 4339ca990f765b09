"""SQL in the words of the domain, and the kinds of events."""

import pytest

from domain.delivery import OPEN, RANKS, DeliveryStatus
from domain.reasons import Reason
from tracking.events import ATTEMPT_OUTCOMES, EventKind, detail
from tracking.sql import sql


def test_words_become_codes() -> None:
    spelled = sql("SELECT <queued>, <reason.expired>, <event.cancelled>, a < b, c<d, e <> f")

    codes = f"{DeliveryStatus.QUEUED.code}, {Reason.EXPIRED.code}, {EventKind.CANCELLED.code}"
    assert spelled == f"SELECT {codes}, a < b, c<d, e <> f"


def test_sets_hold_the_codes_of_their_statuses() -> None:
    assert sql("<OPEN>") == "(" + ",".join(str(status.code) for status in OPEN) + ")"


def test_the_rank_of_a_status_stands_at_the_place_of_its_code() -> None:
    ranks = sql("<RANKS>").split("{")[1].split("}")[0].split(",")

    assert {status: int(ranks[status.code - 1]) for status in DeliveryStatus} == RANKS


def test_an_unknown_word_is_an_error_at_import() -> None:
    with pytest.raises(KeyError):
        sql("SELECT <quued>")


def test_every_kind_of_event_has_a_code_of_its_own() -> None:
    assert {EventKind.of(kind.code) for kind in EventKind} == set(EventKind)


def test_outcomes_of_attempts_come_before_what_follows_from_them() -> None:
    told = {kind.code for kind in EventKind if kind.startswith("attempt_")}

    assert max(told) < EventKind.NOT_SENT.code < EventKind.CANCELLED.code
    assert {ATTEMPT_OUTCOMES[DeliveryStatus.SENT], ATTEMPT_OUTCOMES[DeliveryStatus.RESTING]} <= set(EventKind)


def test_the_detail_of_an_event_says_the_status_and_only_what_is_known() -> None:
    assert detail(DeliveryStatus.SENT, provider="smtp", reason=None) == b'{"status":"sent","provider":"smtp"}'
