"""The dead letter of a delivery whose workers died of it: which, how often, and what is known of their deaths."""

from uuid import UUID

from domain.lanes import Lane
from domain.reasons import Reason
from tracking.dead import INLINE, DeadLetter, fingerprint


def crash_letter(
    delivery_id: UUID,
    tenant_id: UUID,
    lane: Lane,
    *,
    provider: str | None,
    template: str | None,
    template_version: int,
    category: str,
    attempt: int,
    crashes: int,
) -> DeadLetter:
    """The letter of a delivery that is buried after so many `crashes`."""
    return DeadLetter(
        reason=str(Reason.WORKER_CRASH),
        detail=f"{crashes} attempts ended without an outcome: whoever works this delivery dies of it",
        fingerprint=fingerprint(
            lane.channel,
            Reason.WORKER_CRASH,
            provider=provider,
            template=f"{template}@{template_version}" if template else INLINE,
        ),
        evidence={"attempt": attempt, "crashes": crashes, "category": category, "template": template},
        tenant_id=tenant_id,
        delivery_id=delivery_id,
        channel=lane.channel,
    )
