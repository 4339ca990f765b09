"""A set checker in Jepsen's manner: what was promised, kept, taken and shown must agree. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from domain.delivery import OPEN, DeliveryStatus
from domain.lanes import Channel
from ops.chaos.chain import faults_of
from ops.chaos.history import History, Kept, Noted, Promise
from tracking.events import EventKind


class Finding(StrEnum):
    """What a verdict may find, each of which fails a run."""

    LOST = "lost"
    """Promised, and PostgreSQL knows nothing of it; or a broadcast has missed a device."""
    UNANSWERED = "unanswered"
    """A careful client never got a promise, or was refused one."""
    OPEN = "open"
    """Not at an end when the time was over."""
    PHANTOM = "phantom"
    """Taken, shown or kept, and nobody asked for it."""
    TWIN = "twin"
    """One key, and two notifications; or one dedupe key, and a recipient who was told twice."""
    UNFOUNDED = "unfounded"
    """Said to be sent or delivered, and no provider took it, no device acknowledged it."""
    UNEXPLAINED = "unexplained"
    """Taken more often than its attempts can explain."""
    HELD_TWICE = "held_twice"
    """Taken twice, and its category says: never twice."""
    SHOWN_TWICE = "shown_twice"
    """A person saw one push twice."""
    ILLEGAL = "illegal"
    """Its events have a gap, or make a move that is not legal."""
    AFTER_OPT_OUT = "after_opt_out"
    """Begun later than a second after the answer to an opt-out."""
    AFTER_EXPIRY = "after_expiry"
    """Begun after it had expired."""
    EXPLAIN = "explain"
    """The API's explanation and the database do not say the same."""
    NEVER_HIT = "never_hit"
    """A failpoint was armed, and no process got there."""


GRACE = timedelta(seconds=1)
"""An opt-out stops what has not begun a second after its answer."""

LONGEST_CALL = timedelta(seconds=25)
"""Of an attempt whose worker was lost nobody knows when it began: no longer ago than the longest lease."""

_UNCERTAIN = frozenset({EventKind.ATTEMPT_UNKNOWN, EventKind.ATTEMPT_AMBIGUOUS})
_CERTAIN = frozenset({EventKind.ATTEMPT_SENT, EventKind.DELIVERED, EventKind.BOUNCED, EventKind.FAILED_RECEIPT})
_TAKEN = frozenset({DeliveryStatus.SENT, DeliveryStatus.DELIVERED, DeliveryStatus.BOUNCED})
_BY_PROVIDER = frozenset({Channel.EMAIL, Channel.SMS})

Findings = dict[Finding, list[str]]


def check(history: History) -> Findings:
    """Every fault with its examples, one line each; kinds without a fault are left out."""
    found: defaultdict[Finding, list[str]] = defaultdict(list)
    for rule in (_promises, _ends, _strangers, _twins, _ledger, _devices, _chains, _begun_late):
        for fault, words in rule(history):
            found[fault].append(words)
    return dict(found)


def duplicates(history: History) -> tuple[int, int]:
    """Messages that providers took beyond the first of a delivery, and those of them that its attempts explain."""
    kept = {str(one.id): one for one in history.deliveries}
    copies = Counter(one.delivery for one in history.taken)
    more = sum(count - 1 for count in copies.values())
    unexplained = sum(_unexplained(kept[name], count) for name, count in copies.items() if name in kept)
    return more, more - unexplained


_Found = Iterable[tuple[Finding, str]]


def _promises(history: History) -> _Found:
    notifications = {one.id for one in history.notifications}
    by_mark = {one.mark: one.id for one in history.notifications}
    for promise in history.promises:
        if promise.refusal is not None or not promise.is_answered:
            yield Finding.UNANSWERED, f"{promise.mark}: {promise.refusal or 'no answer'}"
        elif promise.notification_id is None and promise.mark not in by_mark:
            yield Finding.LOST, promise.mark
        elif promise.notification_id is not None and promise.notification_id not in notifications:
            yield Finding.LOST, f"{promise.mark}: {promise.notification_id}"
    sizes = Counter(one.campaign_id for one in history.notifications)
    for broadcast, size in history.broadcasts.items():
        if sizes[broadcast] != size:
            yield Finding.LOST, f"broadcast {broadcast} was for {size} devices and has {sizes[broadcast]} notifications"


def has_not_ended(status: DeliveryStatus, channel: Channel) -> bool:
    """Whether the platform has something to do yet: a push that was sent awaits its acknowledgement."""
    return status in OPEN or (channel is Channel.PUSH and status is DeliveryStatus.SENT)


def _ends(history: History) -> _Found:
    for one in history.deliveries:
        if has_not_ended(one.status, one.channel):
            yield Finding.OPEN, _story(one)


def _strangers(history: History) -> _Found:
    kept = {str(one.id): one for one in history.deliveries}
    asked = {promise.mark for promise in history.promises}
    for one in history.notifications:
        if one.mark not in asked and one.campaign_id not in history.broadcasts:
            yield Finding.PHANTOM, f"notification {one.id} ({one.mark}) was asked for by nobody"
    for taken in history.taken:
        if taken.delivery not in kept:
            yield Finding.PHANTOM, f"a provider took {taken.delivery or 'something without an id'}"
    for heard in history.heard:
        if heard.delivery not in kept or kept[heard.delivery].device_id != heard.device_id:
            yield Finding.PHANTOM, f"device {heard.device_id} heard {heard.delivery}"


def _twins(history: History) -> _Found:
    by_mark: defaultdict[str, list[Noted]] = defaultdict(list)
    for noted in history.notifications:
        if noted.mark is not None:
            by_mark[noted.mark].append(noted)
    for mark, twins in by_mark.items():
        if len(twins) > 1:
            yield Finding.TWIN, f"{mark} became {len(twins)} notifications: {', '.join(str(one.id) for one in twins)}"
    told: Counter[tuple[str | None, str, Channel]] = Counter()
    whose = _by_notification(history)
    taken = {one.delivery for one in history.taken}
    for one in history.deliveries:
        promise = whose.get(one.notification_id)
        if promise is not None and promise.dedupe_key is not None and str(one.id) in taken:
            told[promise.user, promise.dedupe_key, one.channel] += 1
    for (user, key, channel), count in told.items():
        if count > 1:
            yield Finding.TWIN, f"{user} was told {key} by {channel} in {count} notifications"


def _ledger(history: History) -> _Found:
    copies = Counter(one.delivery for one in history.taken)
    whose = _by_notification(history)
    for one in history.deliveries:
        if one.channel not in _BY_PROVIDER:
            continue
        count = copies[str(one.id)]
        if one.status in _TAKEN and not count:
            yield Finding.UNFOUNDED, _story(one)
        if _unexplained(one, count):
            yield Finding.UNEXPLAINED, f"taken {count} times: {_story(one)}"
        promise = whose.get(one.notification_id)
        if promise is not None and promise.is_held and count > 1:
            yield Finding.HELD_TWICE, f"taken {count} times: {_story(one)}"


def _unexplained(one: Kept, copies: int) -> int:
    """Copies that no attempt accounts for: one that was sent, and those of which nobody knows.

    Where the provider's own report came before the end of an attempt whose worker then died, the report stands for it.
    """
    kinds = Counter(event.kind for event in one.events)
    is_sent = any(kinds[kind] for kind in _CERTAIN) or one.status is DeliveryStatus.SENDING
    return max(0, copies - is_sent - sum(kinds[kind] for kind in _UNCERTAIN))


def _devices(history: History) -> _Found:
    kept = {str(one.id): one for one in history.deliveries}
    shown = Counter(one.delivery for one in history.heard if one.is_shown)
    for name, count in shown.items():
        if count > 1:
            yield Finding.SHOWN_TWICE, f"shown {count} times: {_story(kept[name]) if name in kept else name}"
    acked = {one.delivery for one in history.heard if one.is_acked}
    for one in history.deliveries:
        if one.channel is Channel.PUSH and one.status is DeliveryStatus.DELIVERED and str(one.id) not in acked:
            yield Finding.UNFOUNDED, _story(one)


def _chains(history: History) -> _Found:
    for one in history.deliveries:
        faults = faults_of(one)
        if faults:
            yield Finding.ILLEGAL, f"{'; '.join(faults)}: {_story(one)}"


def _begun_late(history: History) -> _Found:
    whose = _by_notification(history)
    taken: defaultdict[str, list[datetime]] = defaultdict(list)
    for entry in history.taken:
        taken[entry.delivery].append(entry.at)
    for one in history.deliveries:
        promise = whose.get(one.notification_id)
        opted_out_at = history.opted_out.get(promise.user or "") if promise is not None else None
        begun = _begun(one, taken[str(one.id)])
        if any(at > one.expires_at + GRACE for at in begun):
            yield Finding.AFTER_EXPIRY, f"expired at {one.expires_at}: {_story(one)}"
        if opted_out_at is not None and any(at > opted_out_at + GRACE for at in begun):
            yield Finding.AFTER_OPT_OUT, f"opted out at {opted_out_at}: {_story(one)}"


def _begun(one: Kept, taken: list[datetime]) -> list[datetime]:
    """When its attempts began; at the earliest where a worker was lost, and only the ledger tells of the attempt."""
    known = [event.begun_at for event in one.events if event.begun_at is not None]
    alone = [at for at in taken if not any(begun <= at for begun in known)]
    return known + [at - LONGEST_CALL for at in alone]


def _by_notification(history: History) -> dict[UUID, Promise]:
    """Whose each notification is, by the mark that it carries."""
    promises = {promise.mark: promise for promise in history.promises}
    return {one.id: promises[one.mark] for one in history.notifications if one.mark in promises}


def _story(one: Kept) -> str:
    """A delivery in one line."""
    steps = ", ".join(f"{event.at:%H:%M:%S.%f} {event.kind} {event.attempt}→{event.status}" for event in one.events)
    return f"{one.channel} {one.id} {one.status}, attempt {one.attempt}, crashes {one.crashes} [{steps}]"
