"""Every "no" has a reason from this closed list: labels for the API and metrics, codes for PostgreSQL.

Codes never change and are never used again for another reason. Below 100: refused before anything was sent.
From 100: something was tried and did not work out.
"""

from domain.codes import CodedEnum


class Reason(CodedEnum):
    """Why a delivery was suppressed, deferred, refused or failed."""

    # not sent: the recipient's wish
    UNSUBSCRIBED_GLOBAL = "unsubscribed_global", 1
    UNSUBSCRIBED_CATEGORY = "unsubscribed_category", 2
    CHANNEL_OPT_OUT = "channel_opt_out", 3
    CONSENT_MISSING = "consent_missing", 4
    QUIET_HOURS = "quiet_hours", 5
    SUPPRESSION_LIST = "suppression_list", 6
    # not sent: our rules
    DUPLICATE = "duplicate", 7
    RATE_LIMITED = "rate_limited", 8
    SCHEDULED = "scheduled", 9
    EXPIRED = "expired", 10
    NO_ADDRESS = "no_address", 11
    NO_DEVICE = "no_device", 12
    CHANNEL_NOT_IN_CATEGORY = "channel_not_in_category", 13
    NO_CONTENT_FOR_CHANNEL = "no_content_for_channel", 14
    CANCELLED = "cancelled", 15
    RECIPIENT_ERASED = "recipient_erased", 16
    TEAM_KEY = "team_key", 17
    DEVICE_GONE = "device_gone", 18
    HELD = "held", 19
    # tried, and
    TEMPLATE_MISSING_VARIABLE = "template_missing_variable", 100
    TEMPLATE_ERROR = "template_error", 101
    CONTENT_TOO_LARGE = "content_too_large", 102
    CONTENT_REJECTED = "content_rejected", 103
    ADDRESS_REJECTED = "address_rejected", 104
    ADDRESS_DEFERRED = "address_deferred", 120
    PROVIDER_REJECTED = "provider_rejected", 105
    PROVIDER_UNAVAILABLE = "provider_unavailable", 106
    PROVIDER_THROTTLED = "provider_throttled", 107
    PROVIDER_UNCONFIGURED = "provider_unconfigured", 108
    PROVIDER_CREDENTIALS = "provider_credentials", 109
    PROVIDER_SILENT = "provider_silent", 110
    RETRIES_EXHAUSTED = "retries_exhausted", 111
    BOUNCED = "bounced", 112
    UNDELIVERED = "undelivered", 113
    WORKER_LOST = "worker_lost", 114
    WORKER_CRASH = "worker_crash", 115
    CIRCUIT_OPEN = "circuit_open", 116
    SHUTDOWN = "shutdown", 117
    RESOLVED_BY_HAND = "resolved_by_hand", 118
    TOO_LATE = "too_late", 119
    DEVICE_OFFLINE = "device_offline", 121
    ACK_OVERDUE = "ack_overdue", 122
    MAILBOX_FULL = "mailbox_full", 123
    NOT_DECODABLE = "not_decodable", 124
    NOT_SHOWN = "not_shown", 125
    SUPERSEDED = "superseded", 126
    SILENT_BUDGET = "silent_budget", 127
    POWER_NAP = "power_nap", 128
