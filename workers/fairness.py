"""Who gets the next free slot: smooth weighted round robin between priorities, round robin between tenants.

Pure: it counts and chooses, and never awaits. A slot is one provider call in flight.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar
from uuid import UUID

from domain.lanes import Priority

WEIGHTS = {Priority.CRITICAL: 8, Priority.HIGH: 4, Priority.NORMAL: 2, Priority.LOW: 1}
CAPS = {Priority.CRITICAL: 1.0, Priority.HIGH: 1.0, Priority.NORMAL: 0.75, Priority.LOW: 0.5}
"""Share of all slots that a priority may hold at once: what is left over is there when something urgent comes."""

T = TypeVar("T")


def cap(priority: Priority, slots: int) -> int:
    """How many of `slots` a priority may hold at once; at least one."""
    return max(1, math.floor(slots * CAPS[priority]))


class Slots:
    """The slots of one channel: who holds how many, and who is next."""

    def __init__(self, slots: int) -> None:
        self.total = slots
        self.busy = dict.fromkeys(Priority, 0)
        self._credit = dict.fromkeys(Priority, 0)

    @property
    def free(self) -> int:
        """Slots that nobody holds."""
        return self.total - sum(self.busy.values())

    def grant(self, waiting: Mapping[Priority, int], *, at_most: int | None = None) -> dict[Priority, int]:
        """Hand free slots, `at_most` so many, to the priorities that have work; they hold them until `release`.

        Smooth weighted round robin (as in nginx): everyone who may have a slot earns its weight, the richest gets it
        and pays the sum. One that has no work, or stands at its cap, earns nothing.
        """
        granted: dict[Priority, int] = {}
        most = self.free if at_most is None else min(self.free, at_most)
        alone = [p for p, count in waiting.items() if count > 0 and self._has_room(p)]
        if len(alone) == 1:  # it would get every turn, and pay what it earns
            [chosen] = alone
            count = min(most, waiting[chosen], cap(chosen, self.total) - self.busy[chosen])
            self.busy[chosen] += count
            return {chosen: count} if count > 0 else {}
        for _ in range(most):
            able = [p for p in Priority if waiting.get(p, 0) > granted.get(p, 0) and self._has_room(p)]
            if not able:
                break
            chosen = self._next(able)
            granted[chosen] = granted.get(chosen, 0) + 1
            self.busy[chosen] += 1
        return granted

    def release(self, priority: Priority, count: int = 1) -> None:
        """Give slots back."""
        self.busy[priority] -= count

    def _has_room(self, priority: Priority) -> bool:
        return self.busy[priority] < cap(priority, self.total)

    def _next(self, able: list[Priority]) -> Priority:
        for priority in able:
            self._credit[priority] += WEIGHTS[priority]
        chosen = max(able, key=lambda priority: self._credit[priority])
        self._credit[chosen] -= sum(WEIGHTS[priority] for priority in able)
        return chosen


class TenantTurns(Generic[T]):
    """Work of one lane, given out by turns: one of each tenant, in order of arrival within a tenant."""

    def __init__(self) -> None:
        self._by_tenant: OrderedDict[UUID, deque[T]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, tenant_id: UUID, items: Iterable[T]) -> None:
        """Put a tenant's work behind what it has waiting; a tenant that had none is last in line."""
        line = self._by_tenant.setdefault(tenant_id, deque())
        before = len(line)
        line.extend(items)
        self._size += len(line) - before
        if not line:
            del self._by_tenant[tenant_id]

    def take(self, count: int) -> list[T]:
        """At most `count` pieces of work, the tenants taking turns."""
        taken: list[T] = []
        if len(self._by_tenant) == 1:
            [(tenant_id, line)] = self._by_tenant.items()
            taken = [line.popleft() for _ in range(min(count, len(line)))]
            if not line:
                del self._by_tenant[tenant_id]
        while self._by_tenant and len(taken) < count:
            tenant_id, line = next(iter(self._by_tenant.items()))
            taken.append(line.popleft())
            if line:
                self._by_tenant.move_to_end(tenant_id)
            else:
                del self._by_tenant[tenant_id]
        self._size -= len(taken)
        return taken

    def drain(self) -> Iterator[T]:
        """Everything that waits, taken out."""
        yield from self.take(self._size)
