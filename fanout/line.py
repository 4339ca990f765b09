"""Who waits to be accepted, and which of them form the next batch.

While one batch commits, the next is judged: two at a time, so that neither PostgreSQL nor this process waits for the
other. The second only when it is worth a commit of its own, so that a few share one as before; and never with a key
that the first one has, for that one will know the answer.
"""

from collections import deque
from collections.abc import Iterable
from uuid import UUID

from fanout.cases import Case

MAX_BATCH = 500
AT_ONCE = 2
WORTH_A_COMMIT = 16
"""So many cases do not wait for the batch that is under way."""


class Line:
    """First come, first served; it answers nobody."""

    def __init__(self) -> None:
        self._waiting: deque[Case] = deque()
        self._under_way: list[frozenset[UUID]] = []
        """The idempotency keys of each batch that was begun."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, cases: Iterable[Case]) -> None:
        """Let these wait, behind the others."""
        self._waiting.extend(cases)

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits and nothing is under way."""
        return not self._waiting and not self._under_way

    @property
    def may_begin(self) -> bool:
        """Whether the next batch may begin now."""
        if self._under_way and (len(self._under_way) >= AT_ONCE or len(self._waiting) < WORTH_A_COMMIT):
            return False
        return bool(self._waiting)

    def begin(self) -> list[Case]:
        """The next batch, which counts as under way until `over`; none when it may not begin, or all of them must wait
        for the answer of one under way."""
        if not self.may_begin:
            return []
        taken, later = list[Case](), list[Case]()
        busy = frozenset[UUID]().union(*self._under_way)
        while self._waiting and len(taken) < MAX_BATCH:
            case = self._waiting.popleft()
            key = case.item.key
            (later if busy and key is not None and key.key in busy else taken).append(case)
        self._waiting.extendleft(reversed(later))
        if taken:
            self._under_way.append(_keys(taken))
        return taken

    def dissolve(self) -> list[Case]:
        """Everybody who waits, and nobody waits any more."""
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting

    def over(self, batch: Iterable[Case]) -> None:
        """A batch has its answers."""
        self._under_way.remove(_keys(batch))


def _keys(batch: Iterable[Case]) -> frozenset[UUID]:
    return frozenset(case.item.key.key for case in batch if case.item.key is not None)
