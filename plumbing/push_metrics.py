"""The metrics of push, under the names that operators of an APNs-like service know; declared here, counted elsewhere.

`priority` is the wake (10, 5, 1), as providers and devices say it; REST's lanes have metrics of their own.
"""

from enum import StrEnum

from domain.push import Wake
from plumbing.metrics import counter, gauge, histogram


class PushStatus(StrEnum):
    """What became of a push, as far as the platform can tell at that moment."""

    SENT = "sent"
    STORED = "stored"
    DELIVERED = "delivered"
    EXPIRED = "expired"
    COLLAPSED = "collapsed"
    FAILED = "failed"


class CacheName(StrEnum):
    """What is cached."""

    TOKEN = "token"  # noqa: S105  # a cache of tokens, no secret
    APP = "app"


class CacheResult(StrEnum):
    """What a cache answered; a negative hit says that there is no such thing."""

    HIT = "hit"
    NEGATIVE_HIT = "negative_hit"
    MISS = "miss"
    UNAVAILABLE = "unavailable"


class TokenOperation(StrEnum):
    """What happened to a device's token."""

    REGISTERED = "registered"
    REFRESHED = "refreshed"
    TRANSFERRED = "transferred"
    INVALIDATED = "invalidated"
    RESTORED = "restored"
    ERASED = "erased"
    BRAKED = "braked"
    RELEASED = "released"


class ExpiredWhere(StrEnum):
    """Where a push was found to be too late."""

    INGEST = "ingest"
    CLAIM = "claim"
    DRAIN = "drain"
    SWEEPER = "sweeper"


class Closed(StrEnum):
    """Why the gateway ended a connection."""

    UNAUTHENTICATED = "unauthenticated"
    REFUSED = "refused"
    GHOSTED = "ghosted"
    SILENT = "silent"
    SLOW = "slow"
    MISBEHAVED = "misbehaved"
    DRAINED = "drained"
    LEFT = "left"


_WAKES = [str(int(wake)) for wake in Wake]

SENT = counter(
    "apns_notifications_sent_total",
    "Pushes by what became of them.",
    {"priority": _WAKES, "status": PushStatus},
)
DELIVERY_SECONDS = histogram(
    "apns_notification_delivery_seconds",
    "Time from accept to the device's acknowledgement, of pushes handed to a connected device.",
    {"priority": _WAKES},
    (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
CONNECTIONS = gauge("apns_active_device_connections", "Devices connected to this gateway.", {})
PENDING = gauge("apns_pending_notifications", "Pushes that wait in mailboxes.", {})
CACHE_OPERATIONS = counter(
    "apns_cache_operations_total", "Look-ups by what a cache answered.", {"cache": CacheName, "result": CacheResult}
)
TOKEN_OPERATIONS = counter(
    "apns_token_operations_total", "What happened to device tokens.", {"operation": TokenOperation}
)
DUPLICATES = counter("apns_duplicates_detected_total", "Pushes that were asked for again and not sent again.", {})
EXPIRED = counter("apns_notifications_expired_total", "Pushes that were too late.", {"where": ExpiredWhere})
QUEUED = counter("apns_notifications_queued_total", "Pushes stored for devices that were away.", {})
ONLINE = counter(
    "apns_online_eligible_total", "Live pushes handed to a connected device: what delivery is measured by.", {}
)
ACKED = counter("apns_online_acked_total", "Live pushes that their device acknowledged in time.", {})
CLOSED = counter("apns_connections_closed_total", "Device connections that ended.", {"why": Closed})
HANDSHAKES_REFUSED = counter("apns_handshakes_refused_total", "Connections put off by the handshake limit.", {})
FRAMES = counter("apns_frames_total", "Frames to and from devices.", {"direction": ("in", "out")})
STRAY_ACKS = counter("apns_stray_acks_total", "Acknowledgements of what the device was not sent, or twice.", {})
DOOR_ANSWERS = counter(
    "apns_door_answers_total",
    "Answers of the provider door by HTTP status code.",
    {"code": ("200", "400", "403", "404", "405", "410", "413", "429", "500", "503")},
)
BRAKED_APPS = gauge("apns_braked_apps", "Apps whose tokens are not invalidated because too many died at once.", {})
