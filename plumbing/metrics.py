"""Every metric of the platform, declared here and (those of push) in `push_metrics`; it counts nothing by itself.

Units stand in the names, labels come from enums only, and each combination is there from zero: a dashboard never
has a hole, and a rate never misses its first event.
"""

from collections.abc import Iterable
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from domain.delivery import DeliveryStatus
from domain.lanes import DECLARED_CHANNELS, DECLARED_LANES
from domain.notification import Mode
from domain.webhooks import TellingOutcome

CONTENT_TYPE = CONTENT_TYPE_LATEST
REGISTRY = CollectorRegistry()


class Result(StrEnum):
    """How an accepted request ended, or an attempt."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REPLAYED = "replayed"
    SUPPRESSED = "suppressed"
    REFUSED = "refused"


class AttemptResult(StrEnum):
    """How one attempt to hand a delivery to its provider ended."""

    SENT = "sent"
    TRANSIENT = "transient"
    THROTTLED = "throttled"
    PERMANENT = "permanent"
    AMBIGUOUS = "ambiguous"
    NOT_SENT = "not_sent"
    STORED = "stored"
    LAPSED = "lapsed"


class BreakerState(StrEnum):
    """What a provider's breaker lets through."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class Duty(StrEnum):
    """What the scheduler does by the clock."""

    RELAY = "relay"
    SWEEP = "sweep"
    PARTITIONS = "partitions"
    ROLLUPS = "rollups"
    PURGE = "purge"
    DEVICES = "devices"
    MAILBOX = "mailbox"
    WEBHOOKS = "webhooks"
    PLAN = "plan"
    ERASURE = "erasure"
    REPLAY = "replay"
    HOLDS = "holds"
    WATCH = "watch"


class SweepOutcome(StrEnum):
    """What the sweeper made of one thing that nobody had finished."""

    UNKNOWN = "unknown"
    OVERDUE = "overdue"
    REPUBLISHED = "republished"
    QUARANTINED = "quarantined"
    DEAD_LETTERED = "dead_lettered"
    DELETED = "deleted"


class ReceiptOutcome(StrEnum):
    """What became of a receipt."""

    APPLIED = "applied"
    IGNORED = "ignored"
    UNMATCHED = "unmatched"
    UNREADABLE = "unreadable"


_CHANNELS = [str(channel) for channel in DECLARED_CHANNELS]
_LANES = [str(lane) for lane in DECLARED_LANES]
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WAITS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500)


def counter(name: str, text: str, labels: dict[str, Iterable[str]]) -> Counter:
    """A counter, there from zero in every combination of its labels."""
    metric = Counter(name, text, list(labels), registry=REGISTRY)
    for values in _combinations(labels):
        metric.labels(**values)
    return metric


def gauge(name: str, text: str, labels: dict[str, Iterable[str]]) -> Gauge:
    """A gauge, there from zero in every combination of its labels."""
    metric = Gauge(name, text, list(labels), registry=REGISTRY)
    for values in _combinations(labels):
        metric.labels(**values)
    return metric


def histogram(name: str, text: str, labels: dict[str, Iterable[str]], buckets: tuple[float, ...]) -> Histogram:
    """A histogram, there from zero in every combination of its labels."""
    metric = Histogram(name, text, list(labels), buckets=buckets, registry=REGISTRY)
    for values in _combinations(labels):
        metric.labels(**values)
    return metric


def _combinations(labels: dict[str, Iterable[str]]) -> list[dict[str, str]]:
    """Every combination of the labels' values; none without labels, for such a metric is there anyway."""
    combined: list[dict[str, str]] = [{}] if labels else []
    for name, values in labels.items():
        combined = [{**known, name: str(value)} for known in combined for value in values]
    return combined


ACCEPTED = counter(
    "carillon_notifications_accepted_total",
    "Requests by what became of them at the door.",
    {"mode": Mode, "result": Result},
)
ACCEPT_BATCH_SIZE = histogram(
    "carillon_accept_batch_notifications", "Notifications committed together by accept.", {}, _SIZES
)
DELIVERIES = counter(
    "carillon_deliveries_total",
    "Deliveries that a worker brought into a status, by channel.",
    {"channel": _CHANNELS, "status": DeliveryStatus},
)
ATTEMPTS = counter(
    "carillon_attempts_total",
    "Attempts to hand a delivery to its provider, by outcome.",
    {"channel": _CHANNELS, "result": AttemptResult},
)
RETRIES = counter("carillon_retries_total", "Deliveries that were laid to rest for another attempt.", {"lane": _LANES})
PUT_OFF = counter(
    "carillon_retries_put_off_total",
    "Retries that found their provider's budget spent and rest longer, in PostgreSQL.",
    {"channel": _CHANNELS},
)
PARKED = counter(
    "carillon_parked_total", "Deliveries set aside unsent for ten seconds, no attempt counted.", {"lane": _LANES}
)
WEBHOOK_ATTEMPTS = counter(
    "carillon_webhook_attempts_total", "Attempts to tell a webhook, by outcome.", {"outcome": TellingOutcome}
)
WEBHOOKS_FAILING = gauge(
    "carillon_failing_webhooks",
    "Webhooks that have met with nothing but failure for an hour, as the leader counts.",
    {},
)
PROVIDER_SECONDS = histogram(
    "carillon_provider_seconds",
    "Time from handing a slice to a channel to its outcome.",
    {"channel": _CHANNELS},
    _SECONDS,
)
QUEUE_WAIT_SECONDS = histogram(
    "carillon_queue_wait_seconds",
    "Time from a message's arrival at a worker to its provider call.",
    {"lane": _LANES},
    _WAITS,
)
CLAIM_BATCH_SIZE = histogram("carillon_claim_batch_deliveries", "Deliveries claimed in one statement.", {}, _SIZES)
FINISH_BATCH_SIZE = histogram("carillon_finish_batch_deliveries", "Deliveries finished in one transaction.", {}, _SIZES)
SLOTS_BUSY = gauge("carillon_worker_slots_busy", "Provider calls in flight in this process.", {"channel": _CHANNELS})
UNREADABLE = counter(
    "carillon_unreadable_messages_total",
    "Messages that went to the dead letters at first sight.",
    {"channel": _CHANNELS},
)
BREAKER_STATE = gauge(
    "carillon_breaker_state",
    "1 for the state that a channel's breaker is in.",
    {"channel": _CHANNELS, "state": BreakerState},
)
RECEIPTS = counter("carillon_receipts_total", "Receipts by what became of them.", {"outcome": ReceiptOutcome})
DEAD_LETTERS_ARCHIVED = counter("carillon_dead_letters_archived_total", "Dead letters brought into PostgreSQL.", {})
QUARANTINE_CHILDREN = counter(
    "carillon_quarantine_children_total",
    "Deliveries worked alone in a child process, by whether it survived.",
    {"survived": ("yes", "no")},
)
RELAYED = counter("carillon_relayed_deliveries_total", "Deliveries that the relay published.", {"lane": _LANES})
BROADCAST_PLANNED = counter(
    "carillon_broadcast_planned_total", "Devices for which a broadcast was planned, suppressed ones too.", {}
)
SWEPT = counter("carillon_swept_total", "What the sweeper did.", {"outcome": SweepOutcome})
DUTY_FAILURES = counter("carillon_duty_failures_total", "Turns of the scheduler that failed.", {"duty": Duty})
OUTBOX_OLDEST_SECONDS = gauge(
    "carillon_outbox_oldest_seconds",
    "For how long the oldest due envelope of a lane waits to be published, as the leader saw it last.",
    {"lane": _LANES},
)
QUEUE_READY = gauge(
    "carillon_queue_ready_messages",
    "Messages that no worker has taken yet, as the leader saw it last.",
    {"lane": _LANES},
)
OVERDUE_SECONDS = gauge(
    "carillon_overdue_seconds",
    "For how long the oldest envelope of which nothing was heard waits for the sweeper, as the leader saw it last.",
    {},
)
STUCK_SENDING = gauge(
    "carillon_stuck_sending_deliveries",
    "Deliveries that are sending though their lease was over two minutes ago, as the leader saw it last.",
    {},
)
UNCONFIRMED = counter(
    "carillon_publish_unconfirmed_total",
    "Messages that RabbitMQ did not confirm in time; what waits is published again.",
    {},
)
IS_LEADER = gauge("carillon_scheduler_is_leader", "1 while this scheduler does what only one may do.", {})
REDIS_IS_OPEN = gauge("carillon_redis_breaker_is_open", "1 while Redis is left alone because it does not answer.", {})


def render() -> bytes:
    """All metrics of this process in Prometheus' text format; serve it as CONTENT_TYPE."""
    return generate_latest(REGISTRY)
