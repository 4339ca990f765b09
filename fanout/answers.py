"""Answers: what a sender is told, and the JSON from which the same answer can be given again."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from domain.clock import rfc3339
from domain.decision import Decision
from domain.delivery import DeliveryStatus
from domain.ids import delivery_id
from domain.lanes import Channel
from domain.notification import NotificationStatus
from domain.reasons import Reason
from fanout.cases import Accepted, Case, PlannedDelivery
from plumbing.limiter import Answer

_json = msgspec.json.Encoder()


def answer(case: Case, limit: Answer | None = None) -> Accepted:
    """What the sender is told, with what its key has left where the answer goes to it alone."""
    return summarise(case.id, tuple(case.deliveries), case.duplicate_of, limit=limit)


def summarise(
    identifier: UUID,
    deliveries: tuple[PlannedDelivery, ...],
    duplicate_of: UUID | None,
    *,
    limit: Answer | None = None,
    replayed: bool = False,
) -> Accepted:
    """The answer for a notification from its planned deliveries; a reason only when nothing will be sent."""
    for each in deliveries:
        if each.status is not DeliveryStatus.SUPPRESSED:
            return Accepted(identifier, NotificationStatus.ACCEPTED, deliveries, None, None, replayed, limit)
    reason = Reason.DUPLICATE if duplicate_of else next((each.reason for each in deliveries), None)
    return Accepted(identifier, NotificationStatus.SUPPRESSED, deliveries, reason, duplicate_of, replayed, limit)


def decisions_json(case: Case) -> bytes:
    """What explains this notification for ever, and rebuilds its first answer: gates and plan as JSON."""
    planned = [_delivery_document(each) for each in case.deliveries]
    return _json.encode({"gates": msgspec.Raw(case.gates_json), "plan": planned})


def gates_json(decisions: Iterable[Decision]) -> bytes:
    """The gates' part of it."""
    return _json.encode([_decision_document(decision) for decision in decisions])


def _decision_document(decision: Decision) -> dict[str, Any]:
    document: dict[str, Any] = {"gate": decision.gate, "verdict": decision.verdict}
    if decision.channel is not None:
        document["channel"] = decision.channel
    if decision.reason is not None:
        document["reason"] = decision.reason
    if decision.until is not None:
        document["until"] = rfc3339(decision.until)
    if decision.inputs:
        document["inputs"] = decision.inputs
    return document


def _delivery_document(each: PlannedDelivery) -> list[object]:
    until = rfc3339(each.until) if each.until else None
    return [each.channel, each.status, each.reason, until, each.address_id]


def rebuild(identifier: UUID, decisions: bytes, duplicate_of: UUID | None) -> Accepted:
    """The first answer of a notification, made again from its decisions."""
    planned = msgspec.json.decode(decisions)["plan"]
    deliveries = tuple(
        PlannedDelivery(
            delivery_id(identifier, ordinal),
            Channel(channel),
            UUID(address) if address else None,
            DeliveryStatus(status),
            Reason(reason) if reason else None,
            datetime.fromisoformat(until) if until else None,
        )
        for ordinal, (channel, status, reason, until, address) in enumerate(planned, 1)
    )
    return summarise(identifier, deliveries, duplicate_of, replayed=True)
