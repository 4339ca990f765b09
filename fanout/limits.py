"""What may be sent how fast: per API key, and per user and channel. One Redis round trip per tenant and batch.

The same trip brings what is cached of the recipients. A token spent on what is not sent in the end (opted out, a
duplicate, a replay) is given back.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import chain, repeat
from uuid import UUID

from domain.delivery import DeliveryStatus
from domain.errors import RequestRefused
from domain.lanes import Channel
from fanout.cases import Case
from fanout.gates.verdicts import Told, is_limited_per_user
from plumbing.limiter import Answer, Limit, Limiter
from preferences import cache as recipient_cache
from preferences.model import KnownRecipient

KEY_POLICY = "key"
"""What an API key's limit is called in the headers that tell of it."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Notifications per second and key; deliveries per hour, user and channel. Bursts are what may come at once."""

    key_per_s: float
    key_burst: int
    user_per_hour: float
    user_burst: int


@dataclass(slots=True)
class Spent:
    """What the limits said of each case, and what can be given back. Cases of a campaign have no answer by key."""

    by_key: dict[Case, Answer] = field(default_factory=dict)
    by_user: dict[Case, dict[Channel, Answer]] = field(default_factory=dict)
    limits: dict[tuple[Case, Channel], Limit] = field(default_factory=dict)

    def told(self, case: Case) -> Told:
        """What the limits said of this case; a channel that is missing is not limited."""
        return Told(self.by_key.get(case), self.by_user.get(case, {}))

    def unused(self, *, everything: bool) -> dict[UUID, list[Limit]]:
        """By tenant, the tokens that were spent on what will not be sent: `everything` when the batch was not kept."""
        back: defaultdict[UUID, list[Limit]] = defaultdict(list)
        for (case, channel), limit in self.limits.items():
            if (everything or not _is_sent(case, channel)) and self.by_user[case][channel].allowed:
                back[case.tenant_id].append(Limit(limit.key, limit.per_s, limit.burst, -1))
        return back


def _is_sent(case: Case, channel: Channel) -> bool:
    for each in case.deliveries:  # noqa: SIM110  # a generator for each case costs more than the look
        if each.channel is channel and each.status is not DeliveryStatus.SUPPRESSED:
            return True
    return False


async def ask(
    limiter: Limiter, policy: Policy, cases: Sequence[Case], *, free_of_charge: bool
) -> tuple[Spent, dict[Case, KnownRecipient]]:
    """Ask every limit and read what is cached of every recipient. Cases over their key's limit are refused (429).

    With `free_of_charge` the limits only look.
    """
    spent, known = Spent(), {}
    tenants: defaultdict[UUID, list[Case]] = defaultdict(list)
    for case in cases:
        tenants[case.tenant_id].append(case)
    cost = 0 if free_of_charge else 1
    if len(tenants) == 1:  # as nearly always: without a task
        return spent, await _ask_tenant(limiter, policy, cases[0].tenant_id, cases, spent, cost)
    for cached in await asyncio.gather(
        *(_ask_tenant(limiter, policy, tenant, members, spent, cost) for tenant, members in tenants.items())
    ):
        known.update(cached)
    return spent, known


async def give_back(limiter: Limiter, spent: Spent, *, everything: bool = False) -> None:
    """Return the tokens that were spent on what will not be sent; `everything` when nothing of the batch was kept."""
    for limits in spent.unused(everything=everything).values():
        await limiter.look_up([], limits)


async def _ask_tenant(
    limiter: Limiter, policy: Policy, tenant: UUID, cases: Sequence[Case], spent: Spent, cost: int
) -> dict[Case, KnownRecipient]:
    slot = recipient_cache.slot_of(tenant)
    recipients = {
        case: recipient_cache.key(tenant, case.request.to, slot=slot) for case in cases if not case.request.to.is_inline
    }
    read_keys = list(dict.fromkeys(recipients.values()))
    per_key: defaultdict[UUID, list[Case]] = defaultdict(list)
    per_user: defaultdict[str, list[tuple[Case, Channel]]] = defaultdict(list)
    for case in cases:
        if case.item.campaign_id is None:
            per_key[case.item.sender.key_id].append(case)
        if is_limited_per_user(case.item, case.category):
            for channel in case.channels:
                per_user[_user_key(case, channel, slot)].append((case, channel))
    key_limits = [_key_limit(policy, slot, key, cost, len(members)) for key, members in per_key.items()]
    user_limits = [_user_limit(policy, name, cost, len(members)) for name, members in per_user.items()]
    values, answers = await limiter.look_up(read_keys, [*key_limits, *user_limits])
    for members, answer in zip(per_key.values(), answers[: len(key_limits)], strict=True):
        refusal = _over_key_limit(policy, answer) if not answer.allowed else None
        for case, said in zip(members, _apart(answer, len(members)), strict=True):
            spent.by_key[case] = said
            if refusal is not None and not said.allowed:
                case.refuse(refusal)
    for limit, wishes, answer in zip(user_limits, per_user.values(), answers[len(key_limits) :], strict=True):
        for (case, channel), said in zip(wishes, _apart(answer, len(wishes)), strict=True):
            spent.by_user.setdefault(case, {})[channel] = said
            if cost:
                spent.limits[(case, channel)] = limit
    blobs = dict(zip(read_keys, values, strict=True))
    found = {case: blob for case, key in recipients.items() if (blob := blobs[key]) is not None}
    return {case: known for case, blob in found.items() if (known := recipient_cache.decode(blob)) is not None}


def _apart(answer: Answer, times: int) -> Iterable[Answer]:
    """What is said to each of those for whom a limit was asked at once: the first of them pass."""
    if answer.allowed or not answer.passed:
        return repeat(answer, times)
    passed = replace(answer, allowed=True, retry_after_s=0)
    return chain(repeat(passed, answer.passed), repeat(answer, times - answer.passed))


def _key_limit(policy: Policy, slot: str, key_id: UUID, cost: int, times: int) -> Limit:
    return Limit(f"{slot}:limit:key:{key_id.hex}", policy.key_per_s, policy.key_burst, cost, times)


def _user_limit(policy: Policy, key: str, cost: int, times: int) -> Limit:
    return Limit(key, policy.user_per_hour / 3600, policy.user_burst, cost, times)


def _user_key(case: Case, channel: Channel, slot: str) -> str:
    """The recipient stands in the key as a hash: no address is ever a Redis key. Test sends spend nothing of live."""
    to = case.request.to
    name = to.user or to.email or to.phone or (to.device_id.hex if to.device_id else "")
    digest = blake2b(name.encode(), digest_size=16, key=case.tenant_id.bytes).hexdigest()
    return f"{slot}:limit:user:{case.item.sender.mode}:{channel}:{digest}"


def _over_key_limit(policy: Policy, answer: Answer) -> RequestRefused:
    detail = f"this key may send {policy.key_per_s:g} notifications per second, {policy.key_burst} at once"
    wait_s = max(1, answer.retry_after_s)
    return RequestRefused("rate_limited", detail, 429, retry_after_s=wait_s, headers=answer.headers(KEY_POLICY))
