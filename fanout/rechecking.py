"""Whether a dead letter may be sent again, asked as accept and claim would ask now: life, consent, duplicates."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from domain.decision import Decision, Verdict
from domain.ids import notification_of
from domain.lanes import Channel
from domain.reasons import Reason
from domain.replay import REPLAYABLE, Refusal
from fanout.gates.dedupe import window_key
from preferences import contacts, rules
from preferences.categories import Categories
from preferences.contacts import Target
from preferences.model import Category, KnownRecipient
from tracking import once
from tracking.dead.hold import Held, Journey
from tracking.dead.replay import Replay


class Refused(NamedTuple):
    """A letter that is not sent again, and why; `detail` is the reason of the rule that spoke."""

    letter_id: UUID
    refusal: Refusal
    detail: str | None = None


@dataclass(slots=True)
class Rechecked:
    """What came out for a batch of letters."""

    replays: list[Replay] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


async def recheck(
    conn: asyncpg.Connection,
    categories: Categories,
    tenant_id: UUID,
    held: Sequence[Held],
    *,
    now: datetime,
    is_dry: bool = False,
) -> Rechecked:
    """Ask again about these letters; unless `is_dry`, those that may be sent hold their dedupe windows from here on."""
    answer = Rechecked()
    living: list[tuple[Held, Journey]] = []
    for one in held:
        refusal = _state_of(one, now)
        if refusal is not None:
            answer.refused.append(Refused(one.id, refusal))
        elif one.journey is not None:
            living.append((one, one.journey))
    known = await contacts.reload(conn, tenant_id, [_target(journey) for _, journey in living])
    wishing: list[tuple[Replay, UUID, float]] = []
    for one, journey in living:
        category = await categories.get(conn, tenant_id, journey.category)
        recipient = known.get(_target(journey))
        reason = _no_of(category, recipient, journey, now)
        if reason is not None or category is None or recipient is None:
            answer.refused.append(Refused(one.id, Refusal.SUPPRESSED, str(reason)))
            continue
        replay = Replay(one.id, journey, recipient.version, _recheck_at(category, recipient, journey, now))
        if journey.dedupe_key is None or not category.dedupe_window_s:
            answer.replays.append(replay)
        else:
            key = window_key(tenant_id, journey.mode, _whom(journey), journey.category, journey.dedupe_key)
            wishing.append((replay, key, category.dedupe_window_s))
    await _pass_dedupe(conn, wishing, answer, is_dry=is_dry)
    return answer


def _state_of(one: Held, now: datetime) -> Refusal | None:
    if one.is_settled:
        return Refusal.ALREADY_SETTLED
    if one.delivery_id is None:
        return Refusal.UNREADABLE
    if one.journey is None:
        return Refusal.GONE
    if one.journey.status not in REPLAYABLE:
        return Refusal.MOVED_ON
    if one.journey.is_cancelled:
        return Refusal.CANCELLED
    return Refusal.EXPIRED if one.journey.expires_now <= now else None


def _target(journey: Journey) -> Target:
    return journey.user_id, journey.address_id


def _no_of(
    category: Category | None, recipient: KnownRecipient | None, journey: Journey, now: datetime
) -> Reason | None:
    """What speaks against it; quiet hours that only defer do not: its worker will wait for their end."""
    if category is None or recipient is None:
        is_device = journey.channel is Channel.PUSH and journey.user_id is None and category is not None
        return Reason.DEVICE_GONE if is_device else Reason.RECIPIENT_ERASED
    if journey.channel is Channel.PUSH and journey.address_id not in recipient.devices:
        return Reason.DEVICE_GONE
    for decision in (
        rules.judge(category, recipient, journey.channel, now=now),
        _quiet(category, recipient, journey, now),
    ):
        if decision.verdict is Verdict.SUPPRESS:
            return decision.reason
    return None


def _recheck_at(category: Category, recipient: KnownRecipient, journey: Journey, now: datetime) -> datetime | None:
    """When its worker has to ask again: at once in quiet hours, which it then waits for."""
    if _quiet(category, recipient, journey, now).verdict is Verdict.DEFER:
        return now
    return rules.recheck_at(category, recipient, journey.priority, now=now)


def _quiet(category: Category, recipient: KnownRecipient, journey: Journey, now: datetime) -> Decision:
    return rules.quiet(category, recipient, journey.channel, journey.priority, now=now, expires_at=journey.expires_now)


def _whom(journey: Journey) -> UUID:
    """Whose window it is: the user's, or that of an address or a device without one."""
    return journey.user_id or journey.address_id or journey.id


async def _pass_dedupe(
    conn: asyncpg.Connection, wishing: Sequence[tuple[Replay, UUID, float]], answer: Rechecked, *, is_dry: bool
) -> None:
    """The first of a window may go, and what else its notification has for the recipient; the others are duplicates."""
    rivals: defaultdict[UUID, list[tuple[Replay, float]]] = defaultdict(list)
    for replay, key, window_s in wishing:
        rivals[key].append((replay, window_s))
    if is_dry:
        holders = await once.holders(conn, rivals)
    else:
        windows = [
            once.Window(key, notification_of(group[0][0].journey.id), group[0][1]) for key, group in rivals.items()
        ]
        holders = await once.open_windows(conn, windows) if windows else {}
    for key, group in rivals.items():
        holder = holders.get(key, notification_of(group[0][0].journey.id))
        for replay, _ in group:
            if notification_of(replay.journey.id) == holder:
                answer.replays.append(replay)
            else:
                answer.refused.append(Refused(replay.letter_id, Refusal.DUPLICATE, str(holder)))
