"""Apple's reasons and the status code of each, letter for letter: client libraries branch on them.

Source: Apple, "Handling notification responses from APNs", table of values for the reason key. Only those stand here
that this door gives; reasons of certificates, broadcast channels and of other environments cannot occur.
"""

from enum import StrEnum

from domain.errors import CarillonError


class ApnsReason(StrEnum):
    """Why a push was not taken, in Apple's words."""

    BAD_COLLAPSE_ID = "BadCollapseId"
    BAD_DEVICE_TOKEN = "BadDeviceToken"  # noqa: S105  # a word and no secret
    BAD_EXPIRATION_DATE = "BadExpirationDate"
    BAD_MESSAGE_ID = "BadMessageId"
    BAD_PRIORITY = "BadPriority"
    BAD_TOPIC = "BadTopic"
    DEVICE_TOKEN_NOT_FOR_TOPIC = "DeviceTokenNotForTopic"  # noqa: S105  # a word and no secret
    DUPLICATE_HEADERS = "DuplicateHeaders"
    IDLE_TIMEOUT = "IdleTimeout"
    INVALID_PUSH_TYPE = "InvalidPushType"
    MISSING_DEVICE_TOKEN = "MissingDeviceToken"  # noqa: S105  # a word and no secret
    MISSING_TOPIC = "MissingTopic"
    PAYLOAD_EMPTY = "PayloadEmpty"
    TOPIC_DISALLOWED = "TopicDisallowed"
    EXPIRED_PROVIDER_TOKEN = "ExpiredProviderToken"  # noqa: S105  # a word and no secret
    INVALID_PROVIDER_TOKEN = "InvalidProviderToken"  # noqa: S105  # a word and no secret
    MISSING_PROVIDER_TOKEN = "MissingProviderToken"  # noqa: S105  # a word and no secret
    BAD_PATH = "BadPath"
    METHOD_NOT_ALLOWED = "MethodNotAllowed"
    UNREGISTERED = "Unregistered"
    PAYLOAD_TOO_LARGE = "PayloadTooLarge"
    TOO_MANY_PROVIDER_TOKEN_UPDATES = "TooManyProviderTokenUpdates"  # noqa: S105  # a word and no secret
    TOO_MANY_REQUESTS = "TooManyRequests"
    INTERNAL_SERVER_ERROR = "InternalServerError"
    SERVICE_UNAVAILABLE = "ServiceUnavailable"
    SHUTDOWN = "Shutdown"


_R = ApnsReason
_OTHERS = {
    _R.EXPIRED_PROVIDER_TOKEN: 403,
    _R.INVALID_PROVIDER_TOKEN: 403,
    _R.MISSING_PROVIDER_TOKEN: 403,
    _R.BAD_PATH: 404,
    _R.METHOD_NOT_ALLOWED: 405,
    _R.UNREGISTERED: 410,
    _R.PAYLOAD_TOO_LARGE: 413,
    _R.TOO_MANY_PROVIDER_TOKEN_UPDATES: 429,
    _R.TOO_MANY_REQUESTS: 429,
    _R.INTERNAL_SERVER_ERROR: 500,
    _R.SERVICE_UNAVAILABLE: 503,
    _R.SHUTDOWN: 503,
}

STATUS: dict[ApnsReason, int] = {reason: _OTHERS.get(reason, 400) for reason in ApnsReason}


class PushRefused(CarillonError):
    """A push is not taken. `gone_at_ms` (since 1970) is told with `Unregistered` only: since when the token is dead."""

    def __init__(self, reason: ApnsReason, *, gone_at_ms: int | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.gone_at_ms = gone_at_ms
        self.retry_after_s = retry_after_s
