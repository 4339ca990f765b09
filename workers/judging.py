"""A stale judgement made again, by the rules of preferences as they are now; tracking writes what comes out."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import structlog

from domain.clock import utc_now
from domain.decision import Decision, Gate, Verdict
from domain.lanes import Channel
from domain.reasons import Reason
from plumbing.database import borrow
from preferences import contacts, rules
from preferences.categories import Categories
from preferences.contacts import Target
from preferences.model import Category, KnownRecipient
from tracking.claim import Stale
from tracking.rejudge import Judged, rejudge

log = structlog.get_logger(__name__)


class Judge:
    """Decides again about deliveries whose judgement is stale: consent first, then quiet hours."""

    def __init__(self, pool: asyncpg.Pool, categories: Categories) -> None:
        self._pool = pool
        self._categories = categories

    async def __call__(self, stale: Sequence[Stale]) -> set[UUID]:
        """Judge and write; those that may be claimed again. Raises Unavailable."""
        now = utc_now()
        known: dict[tuple[UUID, Target], KnownRecipient] = {}
        async with borrow(self._pool) as conn:
            for tenant in {one.tenant_id for one in stale}:
                targets = [_target(one) for one in stale if one.tenant_id == tenant]
                found = await contacts.reload(conn, tenant, targets)
                known.update({(tenant, target): recipient for target, recipient in found.items()})
        judged = [await self._judge(one, known.get((one.tenant_id, _target(one))), now) for one in stale]
        passed = await rejudge(self._pool, judged)
        for one in judged:
            decision = one.decision
            log.info("delivery.judged_again", delivery_id=str(one.id), verdict=decision.verdict, reason=decision.reason)
        return passed

    async def _judge(self, one: Stale, recipient: KnownRecipient | None, now: datetime) -> Judged:
        category = await self._categories.get(self._pool, one.tenant_id, one.category)
        if recipient is None or category is None:
            is_device = one.channel is Channel.PUSH and one.user_id is None and category is not None
            reason = Reason.DEVICE_GONE if is_device else Reason.RECIPIENT_ERASED
            return Judged(one.id, 0, None, Decision.suppress(Gate.RECHECK, reason, one.channel))
        return Judged(
            one.id,
            recipient.version,
            rules.recheck_at(category, recipient, one.priority, now=now),
            _decide(one, category, recipient, now),
        )


def _target(one: Stale) -> Target:
    return one.user_id, one.address_id


def _decide(one: Stale, category: Category, recipient: KnownRecipient, now: datetime) -> Decision:
    if one.channel is Channel.PUSH and one.address_id not in recipient.devices:
        return Decision.suppress(Gate.RECHECK, Reason.DEVICE_GONE, one.channel)
    consent = rules.judge(category, recipient, one.channel, now=now)
    if consent.verdict is not Verdict.PASS:
        return consent
    return rules.quiet(category, recipient, one.channel, one.priority, now=now, expires_at=one.expires_at)
