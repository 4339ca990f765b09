"""The gates that speak of one channel each: address, category, consent, user limit, schedule, quiet hours. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.clock import rfc3339
from domain.decision import Decision, Gate, Verdict
from domain.delivery import DeliveryStatus
from domain.lanes import Channel, Priority
from domain.reasons import Reason
from fanout.answers import gates_json
from fanout.cases import Case, Fate, Item
from fanout.plan import fate_of
from plumbing.limiter import Answer
from preferences import rules
from preferences.model import Category, Kind


@dataclass(frozen=True, slots=True)
class Told:
    """What the limits said of a case: of its key (None: not asked), and of its user on each channel that is limited."""

    key: Answer | None
    user: Mapping[Channel, Answer]


@dataclass(frozen=True, slots=True)
class _Judgement:
    """What the gates say of every case that is alike."""

    decisions: tuple[Decision, ...]
    expires_at: datetime
    recheck_at: datetime | None
    gates_json: bytes
    fates: Mapping[Channel, Fate]


class Judge:
    """Judges the cases of one batch at one moment, and those that are alike only once."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._alike: dict[tuple[object, ...], _Judgement] = {}

    def __call__(self, case: Case, told: Told) -> None:
        """Keep what the gates before said of the whole request, and ask those that speak of one channel, for each.

        Needs the case's category, channels and recipient; sets its decisions and fates, expiry and recheck time.
        """
        what = _what_matters(case, told)
        found = self._alike.get(what) if what is not None else None
        if found is None:
            found = self._judge(case, told)
            if what is not None:
                self._alike[what] = found
        case.decisions = found.decisions
        case.expires_at, case.recheck_at = found.expires_at, found.recheck_at
        case.gates_json, case.fates = found.gates_json, found.fates
        case.duplicate_of = None

    def _judge(self, case: Case, told: Told) -> _Judgement:
        begin_at = max(self._now, case.request.send_at or self._now)
        wished_s = case.request.expires_in_s
        case.expires_at = begin_at + timedelta(seconds=case.category.expires_in_s if wished_s is None else wished_s)
        recheck_at = rules.recheck_at(case.category, case.recipient, case.request.priority, now=begin_at)
        asked = (decision for channel in case.channels for decision in _about_one(case, channel, told, begin_at))
        spoken = [*_about_all(case, told), *asked]
        fates = {channel: fate_of(channel, spoken) for channel in case.channels}
        decisions = (*spoken, _hope_for_window(case, fates.values()))
        return _Judgement(decisions, case.expires_at, recheck_at, gates_json(decisions), fates)


def _hope_for_window(case: Case, fates: Iterable[Fate]) -> Decision:
    """What the gate of duplicates says of nearly everybody; it takes it back where it was wrong."""
    if wishes_window(case) and any(fate.status is not DeliveryStatus.SUPPRESSED for fate in fates):
        return Decision.passed(Gate.DEDUPE, window_s=case.category.dedupe_window_s)
    return Decision.passed(Gate.DEDUPE, asked=False)


def wishes_window(case: Case) -> bool:
    """Whether a dedupe window is asked for, should anything of the case be sent."""
    return case.request.dedupe_key is not None and case.category.dedupe_window_s != 0


def _what_matters(case: Case, told: Told) -> tuple[object, ...] | None:
    """All that a judgement depends on within one batch, by identity where that is enough; None for recipients who chose
    something, which is nobody else's choice."""
    known, request = case.recipient, case.request
    chosen = known.preferences
    if chosen.channels or chosen.categories or chosen.quiet_hours or chosen.unsubscribed or known.suppressed:
        return None
    return (
        id(case.category),
        id(case.message),
        case.channels,
        request.priority,
        request.send_at,
        request.expires_in_s,
        request.to.names_device,
        request.dedupe_key is None,
        case.item.key is None,
        known.version,
        known.user_id is None,
        tuple(known.contacts),
        len(known.devices),
        known.foreign_devices,
        id(told.key),
        *map(id, told.user.values()),
    )


def _about_all(case: Case, told: Told) -> list[Decision]:
    known, request = case.recipient, case.request
    words = {"template": case.message.name, "version": case.message.version} if case.message else {"content": True}
    decisions = [
        Decision.passed(Gate.SHAPE),
        _about_key(told.key),
        Decision.passed(Gate.IDEMPOTENCY, key=case.item.key is not None),
        Decision.passed(Gate.RECIPIENT, known_as=_known_as(case), version=known.version),
        Decision.passed(Gate.TEMPLATE, category=case.category.name, **words),
    ]
    if request.expires_in_s is not None and request.expires_in_s <= 0:
        return [*decisions, Decision.suppress(Gate.SCHEDULE, Reason.EXPIRED, expires_at=rfc3339(case.expires_at))]
    if request.send_at is not None:
        return [*decisions, Decision.defer(Gate.SCHEDULE, Reason.SCHEDULED, request.send_at)]
    return [*decisions, Decision.passed(Gate.SCHEDULE, send_at=None)]


def _about_key(answer: Answer | None) -> Decision:
    if answer is None:
        return Decision.passed(Gate.KEY_LIMIT, asked=False)
    return Decision.passed(Gate.KEY_LIMIT, remaining=answer.remaining, burst=answer.limit)


def _about_one(case: Case, channel: Channel, told: Told, begin_at: datetime) -> list[Decision]:
    """The verdicts on one channel, up to the first that suppresses it."""
    category, recipient, priority = case.category, case.recipient, case.request.priority
    asked: list[Decision] = []
    for decision in (
        _pass_address(case, channel),
        _pass_category(category, channel),
        rules.judge(category, recipient, channel, now=begin_at),
        _pass_user_limit(told.user.get(channel), channel),
        rules.quiet(category, recipient, channel, priority, now=begin_at, expires_at=case.expires_at),
    ):
        asked.append(decision)
        if decision.verdict is Verdict.SUPPRESS:
            break
    return asked


def _known_as(case: Case) -> str:
    if case.request.to.names_device:
        return "device"
    return "user" if case.recipient.user_id else "address"


def _pass_address(case: Case, channel: Channel) -> Decision:
    if channel is Channel.PUSH:
        return _pass_devices(case)
    if channel in case.recipient.contacts:
        return Decision.passed(Gate.RECIPIENT, channel)
    return Decision.suppress(Gate.RECIPIENT, Reason.NO_ADDRESS, channel)


def _pass_devices(case: Case) -> Decision:
    """Push needs a device that our gateway serves; those of foreign push services are only counted."""
    known = case.recipient
    counts = {"devices": len(known.devices), "foreign_devices": known.foreign_devices}
    if known.devices:
        return Decision.passed(Gate.RECIPIENT, Channel.PUSH, **counts)
    is_gone = case.request.to.names_device and not known.foreign_devices
    reason = Reason.DEVICE_GONE if is_gone else Reason.NO_DEVICE
    return Decision.suppress(Gate.RECIPIENT, reason, Channel.PUSH, **counts)


def _pass_category(category: Category, channel: Channel) -> Decision:
    allowed = [str(each) for each in category.channels]
    if channel in category.channels:
        return Decision.passed(Gate.TEMPLATE, channel, category=category.name)
    return Decision.suppress(
        Gate.TEMPLATE, Reason.CHANNEL_NOT_IN_CATEGORY, channel, category=category.name, channels=allowed
    )


def _pass_user_limit(answer: Answer | None, channel: Channel) -> Decision:
    if answer is None:
        return Decision.passed(Gate.USER_LIMIT, channel, limited=False)
    if answer.allowed:
        return Decision.passed(Gate.USER_LIMIT, channel, remaining=answer.remaining)
    return Decision.suppress(
        Gate.USER_LIMIT, Reason.RATE_LIMITED, channel, burst=answer.limit, retry_after_s=answer.retry_after_s
    )


def is_limited_per_user(item: Item, category: Category) -> bool:
    """Whether the user x channel limit applies: a password reset must not starve behind chatter.

    Who names a device pushes as one does with Apple, where there is no such limit; its mailbox and its budget of silent
    pushes bound what it gets. What a campaign sends to devices is limited: nobody there thought of this one.
    """
    is_critical = item.request.priority is Priority.CRITICAL or category.kind is Kind.CRITICAL
    return not is_critical and (item.campaign_id is not None or not item.request.to.names_device)
