"""Codes are what PostgreSQL stores. This table is copied by hand: a change here is a change of the data of everyone."""

from enum import StrEnum
from typing import Protocol

import pytest

from domain.delivery import DeliveryStatus
from domain.lanes import Channel, Priority
from domain.notification import Mode
from domain.reasons import Reason

STATUSES = {
    "queued": 1, "sending": 2, "resting": 3, "sent": 4, "delivered": 5, "deferred": 6, "failed": 7, "ambiguous": 8,
    "cancelled": 9, "stored": 10, "suppressed": 11, "bounced": 12, "expired": 13, "collapsed": 14, "dead_lettered": 15,
}  # fmt: skip
CHANNELS = {"push": 1, "email": 2, "sms": 3, "in_app": 4, "webhook": 5}
PRIORITIES = {"critical": 1, "high": 2, "normal": 3, "low": 4}
MODES = {"live": 1, "test": 2, "team": 3}
REASONS = {
    "unsubscribed_global": 1, "unsubscribed_category": 2, "channel_opt_out": 3, "consent_missing": 4, "quiet_hours": 5,
    "suppression_list": 6, "duplicate": 7, "rate_limited": 8, "scheduled": 9, "expired": 10, "no_address": 11,
    "no_device": 12, "channel_not_in_category": 13, "no_content_for_channel": 14, "cancelled": 15,
    "recipient_erased": 16, "team_key": 17, "device_gone": 18, "held": 19,
    "template_missing_variable": 100, "template_error": 101, "content_too_large": 102, "content_rejected": 103,
    "address_rejected": 104, "provider_rejected": 105, "provider_unavailable": 106, "provider_throttled": 107,
    "provider_unconfigured": 108, "provider_credentials": 109, "provider_silent": 110, "retries_exhausted": 111,
    "bounced": 112, "undelivered": 113, "worker_lost": 114, "worker_crash": 115, "circuit_open": 116, "shutdown": 117,
    "resolved_by_hand": 118, "too_late": 119, "address_deferred": 120, "device_offline": 121, "ack_overdue": 122,
    "mailbox_full": 123, "not_decodable": 124, "not_shown": 125, "superseded": 126, "silent_budget": 127,
    "power_nap": 128,
}  # fmt: skip


class Coded(Protocol):
    """A member of a closed set that PostgreSQL stores by number."""

    @property
    def code(self) -> int: ...


@pytest.mark.parametrize(
    ("closed_set", "codes"),
    [(DeliveryStatus, STATUSES), (Channel, CHANNELS), (Priority, PRIORITIES), (Mode, MODES), (Reason, REASONS)],
    ids=["status", "channel", "priority", "mode", "reason"],
)
def test_a_code_never_changes_and_is_never_used_twice(closed_set: type[StrEnum], codes: dict[str, int]) -> None:
    found = {str(member): _code(member) for member in closed_set}

    assert found == codes
    assert len(set(found.values())) == len(found)
    assert all(0 < code < 32_768 for code in found.values()), "it must fit a smallint"


@pytest.mark.parametrize("closed_set", [DeliveryStatus, Channel, Priority, Mode, Reason])
def test_a_code_leads_back_to_its_member(
    closed_set: "type[DeliveryStatus] | type[Channel] | type[Priority] | type[Mode] | type[Reason]",
) -> None:
    for member in closed_set:
        assert closed_set.of(member.code) is member


def test_what_was_refused_before_sending_has_a_code_below_a_hundred() -> None:
    tried = [reason for reason in Reason if reason.code >= 100]

    assert list(Reason)[-len(tried) :] == tried, "the order of the list says it too"


def _code(member: object) -> int:
    coded: Coded = member  # type: ignore[assignment]  # each of the five has it; StrEnum does not say so
    return coded.code
