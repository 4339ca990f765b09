"""Fates x addresses and devices -> deliveries. Pure: what the gates said comes in, what will be sent comes out."""

from collections.abc import Iterable
from uuid import UUID

from domain.decision import Decision, Gate, Verdict
from domain.delivery import DeliveryStatus
from domain.ids import delivery_id
from domain.lanes import Channel
from domain.reasons import Reason
from fanout.answers import gates_json
from fanout.cases import Case, Fate, PlannedDelivery
from preferences.model import KnownRecipient


def plan(case: Case) -> None:
    """Make the case's deliveries from the fates of its channels: one for each channel's address or device, in order."""
    deliveries: list[PlannedDelivery] = []
    for channel in case.channels:
        status, reason, until = case.fates[channel]
        for address in _addresses(case.recipient, channel):
            identifier = delivery_id(case.id, len(deliveries) + 1)
            deliveries.append(PlannedDelivery(identifier, channel, address, status, reason, until))
    case.deliveries = deliveries


def _addresses(recipient: KnownRecipient, channel: Channel) -> tuple[UUID | None, ...]:
    """Ids of what the recipient has for this channel; one None where there is nothing, to say so in a delivery."""
    if channel is Channel.PUSH:
        return recipient.devices or (None,)
    return (recipient.contacts.get(channel),)


def fate_of(channel: Channel, decisions: Iterable[Decision]) -> Fate:
    """What becomes of a channel's deliveries, by the decisions on it and on the whole notification."""
    spoken = [decision for decision in decisions if decision.channel in (channel, None)]
    refusal = next((d for d in spoken if d.verdict is Verdict.SUPPRESS), None)
    if refusal is not None:
        return Fate(DeliveryStatus.SUPPRESSED, refusal.reason)
    waits = [(d.until, d.reason) for d in spoken if d.until is not None]
    if waits:
        until, reason = max(waits)
        return Fate(DeliveryStatus.DEFERRED, reason, until)
    return Fate(DeliveryStatus.QUEUED)


def mark_duplicate(case: Case, first: UUID) -> None:
    """Suppress what the case would have sent, because `first` holds its dedupe window."""
    case.duplicate_of = first
    case.decisions = (*case.decisions[:-1], Decision.suppress(Gate.DEDUPE, Reason.DUPLICATE, duplicate_of=str(first)))
    case.gates_json = gates_json(case.decisions)
    case.deliveries = [
        each
        if each.status is DeliveryStatus.SUPPRESSED
        else PlannedDelivery(each.id, each.channel, each.address_id, DeliveryStatus.SUPPRESSED, Reason.DUPLICATE)
        for each in case.deliveries
    ]


def would_send(case: Case) -> bool:
    """Whether anything of the case is still to be sent."""
    for each in case.deliveries:  # noqa: SIM110  # a generator for each case costs more than the look
        if each.status is not DeliveryStatus.SUPPRESSED:
            return True
    return False
