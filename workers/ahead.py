"""How many deliveries are claimed before their slot is free: as many slots as become free while a claim is under way.

Pure but for what it was told. Without it every connection to a quick provider would lie idle for the length of a claim
after each email; with a slow provider it is none, and what is claimed is begun at once.
"""

import math

_WEIGHT = 1 / 16
"""Of the newest claim or call in the running mean."""


class Ahead:
    """Compares how long claims and calls take; at most half of the slots are given away in advance."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._claim_s = 0.0
        self._call_s = math.inf

    def claim_took(self, took_s: float) -> None:
        """A claim came back after so long."""
        self._claim_s += (took_s - self._claim_s) * _WEIGHT

    def call_took(self, took_s: float) -> None:
        """A provider call ended after so long."""
        self._call_s = took_s if math.isinf(self._call_s) else self._call_s + (took_s - self._call_s) * _WEIGHT

    @property
    def count(self) -> int:
        """So many slots will have become free when the next claim comes back."""
        if self._call_s <= 0:
            return self._slots // 2
        return min(self._slots // 2, int(self._slots * self._claim_s / self._call_s))
