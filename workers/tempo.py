"""How many deliveries of each lane this process began within the last minute."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from domain.lanes import Channel, Lane, Priority

MINUTE_S = 60.0


class Tempo:
    """Counts what is begun; `per_minute` looks back, as far as it was asked before. `clock` never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.begun: Counter[Lane] = Counter()
        self._seen: deque[tuple[float, Counter[Lane]]] = deque([(clock(), Counter())])

    def begin(self, channel: Channel, priorities: Sequence[Priority]) -> None:
        """Note one call for deliveries of these priorities."""
        for priority, count in Counter(priorities).items():
            self.begun[Lane(channel, priority)] += count

    def per_minute(self) -> dict[str, int]:
        """By lane, of the last 60 to 63 s; ask every few seconds."""
        now_s = self._clock()
        while len(self._seen) > 1 and self._seen[1][0] <= now_s - MINUTE_S:
            self._seen.popleft()
        before = self._seen[0][1]
        self._seen.append((now_s, Counter(self.begun)))
        return {str(lane): count - before[lane] for lane, count in self.begun.items() if count > before[lane]}
