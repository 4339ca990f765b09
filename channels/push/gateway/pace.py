"""How fast something may come: a bucket that refills, for handshakes of a node and messages of a device. Pure."""


class Bucket:
    """Holds up to `burst`, refilled by `per_s`; times in seconds of the caller's clock."""

    __slots__ = ("_at", "_burst", "_left", "_per_s")

    def __init__(self, per_s: float, burst: float, now: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._at = now

    def take(self, cost: float, now: float) -> bool:
        """Whether there was as much as `cost`; then it is gone."""
        self._left = min(self._burst, self._left + max(0.0, now - self._at) * self._per_s)
        self._at = now
        if self._left < cost:
            return False
        self._left -= cost
        return True
