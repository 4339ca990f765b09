"""Every "no" has a reason from this closed list: labels for the API and metrics, codes for PostgreSQL.

Codes never change and are never used again for another reason. Below 100: refused before anything was sent.
From 100: something was tried and did not work out.
"""

from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """Why a delivery was suppressed, deferred, refused or failed."""

    # not sent: the recipient's wish
    UNSUBSCRIBED_GLOBAL = "unsubscribed_global"
    UNSUBSCRIBED_CATEGORY = "unsubscribed_category"
    CHANNEL_OPT_OUT = "channel_opt_out"
    CONSENT_MISSING = "consent_missing"
    QUIET_HOURS = "quiet_hours"
    SUPPRESSION_LIST = "suppression_list"
    # not sent: our rules
    DUPLICATE = "duplicate"
    RATE_LIMITED = "rate_limited"
    SCHEDULED = "scheduled"
    EXPIRED = "expired"
    NO_ADDRESS = "no_address"
    NO_DEVICE = "no_device"
    CHANNEL_NOT_IN_CATEGORY = "channel_not_in_category"
    NO_CONTENT_FOR_CHANNEL = "no_content_for_channel"
    CANCELLED = "cancelled"
    RECIPIENT_ERASED = "recipient_erased"
    TEAM_KEY = "team_key"
    # tried, and
    TEMPLATE_MISSING_VARIABLE = "template_missing_variable"
    TEMPLATE_ERROR = "template_error"
    CONTENT_TOO_LARGE = "content_too_large"
    CONTENT_REJECTED = "content_rejected"
    ADDRESS_REJECTED = "address_rejected"
    ADDRESS_DEFERRED = "address_deferred"
    PROVIDER_REJECTED = "provider_rejected"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    PROVIDER_THROTTLED = "provider_throttled"
    PROVIDER_UNCONFIGURED = "provider_unconfigured"
    PROVIDER_CREDENTIALS = "provider_credentials"
    PROVIDER_SILENT = "provider_silent"
    RETRIES_EXHAUSTED = "retries_exhausted"
    BOUNCED = "bounced"
    UNDELIVERED = "undelivered"
    WORKER_LOST = "worker_lost"
    WORKER_CRASH = "worker_crash"
    CIRCUIT_OPEN = "circuit_open"
    SHUTDOWN = "shutdown"
    RESOLVED_BY_HAND = "resolved_by_hand"
    TOO_LATE = "too_late"

    @property
    def code(self) -> int:
        return _CODES[self]

    @classmethod
    def of(cls, code: int) -> Self:
        return cls(_BY_CODE[code])


_CODES = {
    Reason.UNSUBSCRIBED_GLOBAL: 1,
    Reason.UNSUBSCRIBED_CATEGORY: 2,
    Reason.CHANNEL_OPT_OUT: 3,
    Reason.CONSENT_MISSING: 4,
    Reason.QUIET_HOURS: 5,
    Reason.SUPPRESSION_LIST: 6,
    Reason.DUPLICATE: 7,
    Reason.RATE_LIMITED: 8,
    Reason.SCHEDULED: 9,
    Reason.EXPIRED: 10,
    Reason.NO_ADDRESS: 11,
    Reason.NO_DEVICE: 12,
    Reason.CHANNEL_NOT_IN_CATEGORY: 13,
    Reason.NO_CONTENT_FOR_CHANNEL: 14,
    Reason.CANCELLED: 15,
    Reason.RECIPIENT_ERASED: 16,
    Reason.TEAM_KEY: 17,
    Reason.TEMPLATE_MISSING_VARIABLE: 100,
    Reason.TEMPLATE_ERROR: 101,
    Reason.CONTENT_TOO_LARGE: 102,
    Reason.CONTENT_REJECTED: 103,
    Reason.ADDRESS_REJECTED: 104,
    Reason.PROVIDER_REJECTED: 105,
    Reason.PROVIDER_UNAVAILABLE: 106,
    Reason.PROVIDER_THROTTLED: 107,
    Reason.PROVIDER_UNCONFIGURED: 108,
    Reason.PROVIDER_CREDENTIALS: 109,
    Reason.PROVIDER_SILENT: 110,
    Reason.RETRIES_EXHAUSTED: 111,
    Reason.BOUNCED: 112,
    Reason.UNDELIVERED: 113,
    Reason.WORKER_LOST: 114,
    Reason.WORKER_CRASH: 115,
    Reason.CIRCUIT_OPEN: 116,
    Reason.SHUTDOWN: 117,
    Reason.RESOLVED_BY_HAND: 118,
    Reason.TOO_LATE: 119,
    Reason.ADDRESS_DEFERRED: 120,
}
_BY_CODE = {code: reason for reason, code in _CODES.items()}
