"""A long random walk over the life of deliveries, with workers that die: the invariants hold after every step."""

import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from domain.clock import utc_now
from domain.delivery import MOVES, OPEN, DeliveryStatus
from domain.lanes import Channel, Lane, Priority
from domain.reasons import Reason
from domain.receipts import Receipt, ReceiptKind
from tests.integration.tracking.builders import Person, finished, make_due, person, recorded, records
from tracking import outbox, receipts
from tracking.cancel import cancel
from tracking.claim import Claimed, claim
from tracking.finish import finish, give_back
from tracking.sweep import sweep

ALL_LANES = frozenset(Lane(channel, priority) for channel in Channel for priority in Priority)
OUTCOMES = [
    *[DeliveryStatus.SENT] * 4,
    *[DeliveryStatus.RESTING] * 4,
    DeliveryStatus.FAILED,
    DeliveryStatus.AMBIGUOUS,
]
STEPS = 250
_ALONE = 0.3
"""How many of the claims are those of quarantine, which may have suspects too."""


async def _policy(_tenant: UUID, category: str) -> str:
    return "hold" if category == "marketing" else "retry"


@dataclass
class Walk:
    """The world as the walk knows it: who was recorded, and which claims workers believe to hold."""

    pool: asyncpg.Pool
    who: Person
    dice: random.Random
    ids: list[UUID] = field(default_factory=list)
    notifications: list[UUID] = field(default_factory=list)
    live: dict[UUID, Claimed] = field(default_factory=dict)
    zombies: list[Claimed] = field(default_factory=list)
    before: dict[UUID, Any] = field(default_factory=dict)
    given_back: set[UUID] = field(default_factory=set)

    async def accept(self) -> None:
        made = records(
            self.who,
            self.dice.randint(1, 4),
            channels=(Channel.EMAIL, Channel.SMS),
            category=self.dice.choice(["orders", "marketing"]),
            envelope_size=3,
            expires_in_s=self.dice.choice([3600, 3600, 3600, -1]),
        )
        self.ids += await recorded(self.pool, made)
        self.notifications += [row.id for row in made.notifications]

    async def claim(self) -> None:
        wanted = self.dice.sample(self.ids, min(len(self.ids), 6))
        is_alone = self.dice.random() < _ALONE
        answer = await claim(self.pool, wanted, lease_s=60, is_alone=is_alone)
        told = [*(one.id for one in answer.claimed), *answer.leased, *answer.ended, *(one for one, _ in answer.not_due)]
        assert sorted([*told, *answer.suspects]) == sorted(wanted)
        assert not (is_alone and answer.suspects), "who is alone may work suspects"
        for one in answer.claimed:
            assert one.id not in self.live, "two live leases"
            self.live[one.id] = one

    async def finish(self) -> None:
        mine = self._some()
        at = utc_now() + self.dice.choice([timedelta(0), timedelta(seconds=40), timedelta(hours=3)])
        result = await finish(
            self.pool,
            [
                finished(one, self.dice.choice(OUTCOMES), reason=Reason.PROVIDER_THROTTLED, next_attempt_at=at)
                for one in mine
            ],
        )
        assert result.written == {one.id for one in mine}

    async def late_finish(self) -> None:
        result = await finish(self.pool, [finished(one) for one in self.zombies])
        assert result.written == set()

    async def give_back(self) -> None:
        mine = self._some()
        pairs = [(one.id, one.lease_token) for one in mine]
        self.given_back = await give_back(self.pool, pairs, reason=Reason.SHUTDOWN)

    async def crash(self) -> None:
        mine = self._some()
        self.live |= {one.id: one for one in mine}
        await self.pool.execute(
            "UPDATE deliveries SET lease_until = now() - interval '1 s' WHERE lease_token = ANY($1::uuid[])"
            " AND id = ANY($2::uuid[])",
            [one.lease_token for one in mine],
            [one.id for one in mine],
        )
        await self.sweep()

    async def sweep(self) -> None:
        await make_due(self.pool, self.who.tenant_id)
        async with self.pool.acquire() as conn:
            await sweep(conn, limit=1000, drained=ALL_LANES, policy=_policy)
        held = await self.pool.fetch(
            "SELECT id, lease_token FROM deliveries WHERE id = ANY($1::uuid[])", list(self.live)
        )
        for row in held:
            if row["lease_token"] != self.live[row["id"]].lease_token:
                self.zombies.append(self.live.pop(row["id"]))

    async def relay(self) -> None:
        async with self.pool.acquire() as conn, conn.transaction():
            rows = await outbox.due(conn, dict.fromkeys(ALL_LANES, 1000))
            await outbox.mark_published(conn, [row.id for row in rows])

    async def cancel(self) -> None:
        assert await cancel(self.pool, self.who.tenant_id, self.dice.choice(self.notifications)) is not None

    async def receipt(self) -> None:
        kind = self.dice.choice(list(ReceiptKind))
        some = self.dice.sample(self.ids, min(3, len(self.ids)))
        told = [Receipt("smtp", kind, utc_now(), delivery_id=one, reason=Reason.BOUNCED) for one in some]
        answer = await receipts.apply(self.pool, told)
        assert answer.applied + answer.ignored == len(some)

    async def let_rests_end(self) -> None:
        await self.pool.execute(
            "UPDATE deliveries SET next_attempt_at = now() - interval '1 min'"
            " WHERE tenant_id = $1 AND status IN (3, 4) AND next_attempt_at IS NOT NULL",
            self.who.tenant_id,
        )
        await self.pool.execute(
            "UPDATE outbox SET available_at = now() WHERE tenant_id = $1 AND published_at IS NULL", self.who.tenant_id
        )

    def _some(self) -> list[Claimed]:
        chosen = self.dice.sample(sorted(self.live), self.dice.randint(0, min(4, len(self.live))))
        return [self.live.pop(one) for one in chosen]

    async def check(self, step: str) -> None:
        """The invariants, against what stood there a step ago."""
        tenant = self.who.tenant_id
        rows = await self.pool.fetch("SELECT * FROM deliveries WHERE tenant_id = $1", tenant)
        envelopes = {
            row["id"]: set(row["delivery_ids"])
            for row in await self.pool.fetch("SELECT id, delivery_ids FROM outbox WHERE tenant_id = $1", tenant)
        }
        for row in rows:
            now, old = DeliveryStatus.of(row["status"]), self.before.get(row["id"])
            if now in OPEN or (now is DeliveryStatus.SENT and row["next_attempt_at"] is not None):
                assert row["id"] in envelopes.get(row["envelope_id"], ()), f"{step}: nobody watches a {now} delivery"
            assert (now is DeliveryStatus.SENDING) <= (row["lease_token"] is not None)
            if old is None:
                continue
            was = DeliveryStatus.of(old["status"])
            by_sweep = step in ("sweep", "crash") and was is DeliveryStatus.SENT and now in MOVES[DeliveryStatus.QUEUED]
            assert now is was or now in MOVES[was] or by_sweep, f"{step}: {was} -> {now}"
            assert row["attempt"] >= old["attempt"] - (row["id"] in self.given_back), f"{step}: attempts went back"
            assert row["crashes"] >= old["crashes"]
        self.before = {row["id"]: row for row in rows}
        self.given_back = set()


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_in_whatever_order_nothing_is_forgotten_or_sent_by_two(
    hot_pool: asyncpg.Pool, tenant: UUID, seed: int
) -> None:
    walk = Walk(hot_pool, await person(hot_pool, tenant), random.Random(seed))
    await walk.accept()
    moves = [walk.accept, *[walk.claim] * 6, *[walk.finish] * 4, walk.late_finish, walk.give_back, *[walk.crash] * 2]
    moves += [walk.sweep, walk.relay, walk.cancel, walk.receipt, walk.let_rests_end]

    for _ in range(STEPS):
        step = walk.dice.choice(moves)
        await step()
        await walk.check(step.__name__)

    await _bring_home(walk)
    assert await hot_pool.fetchval("SELECT count(*) FROM outbox WHERE tenant_id = $1", tenant) == 0
    left = await hot_pool.fetch("SELECT status FROM deliveries WHERE tenant_id = $1", tenant)
    assert not {DeliveryStatus.of(row["status"]) for row in left} & set(OPEN)
    await _read_events(hot_pool, walk.ids)


async def _bring_home(walk: Walk) -> None:
    """Calm days: every envelope is published, claimed and sent, until none is left."""
    await walk.finish()
    for _ in range(20):
        await walk.let_rests_end()
        await walk.sweep()
        await walk.relay()
        answer = await claim(walk.pool, walk.ids, lease_s=60, is_alone=True)
        ours = [*answer.claimed, *walk.live.values()]
        walk.live.clear()
        await finish(walk.pool, [finished(one) for one in ours])


async def _read_events(pool: asyncpg.Pool, ids: list[UUID]) -> None:
    """Each delivery's events tell a life in which every move is legal; a claim, which has no event, may lie between."""
    rows = await pool.fetch(
        "SELECT delivery_id, detail FROM events WHERE delivery_id = ANY($1::uuid[]) ORDER BY delivery_id, at, kind", ids
    )
    at: dict[UUID, DeliveryStatus] = dict.fromkeys(ids, DeliveryStatus.QUEUED)
    for row in rows:
        was, now = at[row["delivery_id"]], DeliveryStatus(msgspec.json.decode(row["detail"])["status"])
        by_claim = DeliveryStatus.SENDING in MOVES[was] and now in MOVES[DeliveryStatus.SENDING]
        is_second_end = now.rank == was.rank and not by_claim
        if now is was or ((now.rank < was.rank or is_second_end) and now not in MOVES[was]):
            continue
        assert now in MOVES[was] or by_claim, f"{was} -> {now}"
        at[row["delivery_id"]] = now
    for row in await pool.fetch("SELECT id, status FROM deliveries WHERE id = ANY($1::uuid[])", ids):
        assert at[row["id"]] is DeliveryStatus.of(row["status"])
