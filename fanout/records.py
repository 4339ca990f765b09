"""Cases -> rows for the ledger: notifications, deliveries, and one outbox row per envelope."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec

from domain.delivery import DeliveryStatus
from domain.ids import uuid7
from domain.lanes import ENVELOPE_SIZES, Lane
from fanout.answers import decisions_json
from fanout.cases import Case
from tracking.rows import DeliveryRow, IdempotencyRow, NotificationRow, OutboxRow, Records

INLINE_GRACE = timedelta(seconds=10)
"""Rows that are published beside the answer become the relay's only after so long."""

_json = msgspec.json.Encoder()


class _Bundle(NamedTuple):
    """What may travel in one envelope: one tenant's deliveries of one lane that are due at the same time."""

    tenant_id: UUID
    lane: Lane
    due_at: datetime | None


def records(cases: Iterable[Case], *, now: datetime, inline: frozenset[Lane]) -> tuple[Records, list[OutboxRow]]:
    """The rows of a batch, and those of its envelopes that are to be published beside the answer.

    `inline` names the lanes published at once; their outbox rows become due only after INLINE_GRACE.
    """
    rows = Records([], [], [], [])
    bundles: defaultdict[_Bundle, list[DeliveryRow]] = defaultdict(list)
    last: tuple[object, ...] = ()
    for case in cases:
        rows.notifications.append(_notification(case, now))
        for delivery in _deliveries(case, now):
            rows.deliveries.append(delivery)
            if delivery.status is not DeliveryStatus.SUPPRESSED:
                where = delivery.tenant_id, delivery.channel, delivery.priority, delivery.next_attempt_at
                if where != last:  # mostly it goes where the one before went
                    lane = Lane(delivery.channel, delivery.priority)
                    members = bundles[_Bundle(delivery.tenant_id, lane, delivery.next_attempt_at)]
                    last = where
                members.append(delivery)
        if case.item.key is not None:
            rows.idempotency.append(IdempotencyRow(case.item.key.key, case.item.key.fingerprint, case.id, None))
    at_once = []
    for bundle, members in bundles.items():
        is_inline = bundle.due_at is None and bundle.lane in inline
        due_at = bundle.due_at or (now + INLINE_GRACE if is_inline else now)
        for envelope in _envelopes(bundle, members, due_at):
            rows.outbox.append(envelope)
            if is_inline:
                at_once.append(envelope)
    return rows, at_once


def _envelopes(bundle: _Bundle, members: list[DeliveryRow], due_at: datetime) -> Iterator[OutboxRow]:
    size = ENVELOPE_SIZES[bundle.lane.channel]
    for start in range(0, len(members), size):
        part = members[start : start + size]
        row = OutboxRow(uuid7(), bundle.tenant_id, bundle.lane, [each.id for each in part], due_at)
        for each in part:
            each.envelope_id = row.id
        yield row


def _notification(case: Case, now: datetime) -> NotificationRow:
    request, sender = case.request, case.item.sender
    words: object = request.data if request.template is not None else request.content
    return NotificationRow(
        id=case.id,
        tenant_id=sender.tenant_id,
        user_id=case.recipient.user_id,
        mode=sender.mode,
        template=request.template,
        template_version=case.message.version if case.message else 0,
        locale=request.locale,
        category=case.category.name,
        priority=request.priority,
        data=_json.encode(words),
        decisions=decisions_json(case),
        collapse_id=request.collapse_id,
        dedupe_key=request.dedupe_key,
        duplicate_of=case.duplicate_of,
        reference=case.request.reference,
        send_at=request.send_at,
        expires_at=case.expires_at,
        created_at=now,
        campaign_id=case.item.campaign_id,
    )


def _deliveries(case: Case, now: datetime) -> Iterator[DeliveryRow]:
    tenant_id, recipient, priority, mode = case.tenant_id, case.recipient, case.request.priority, case.item.sender.mode
    for planned in case.deliveries:
        yield DeliveryRow(
            id=planned.id,
            tenant_id=tenant_id,
            user_id=recipient.user_id,
            address_id=planned.address_id,
            envelope_id=None,
            recipient_version=recipient.version,
            recheck_at=case.recheck_at,
            channel=planned.channel,
            priority=priority,
            mode=mode,
            status=planned.status,
            reason=planned.reason,
            next_attempt_at=planned.until,
            expires_at=case.expires_at,
            created_at=now,
        )
