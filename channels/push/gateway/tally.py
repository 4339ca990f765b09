"""What sessions count, in plain numbers that are brought to the metrics once a second: frames come in thousands."""

from collections import Counter

from plumbing import push_metrics
from plumbing.push_metrics import PushStatus


class Tally:
    """Counts of one node since the last `flush`."""

    __slots__ = ("acked", "delivered", "duplicates", "frames_in", "frames_out", "online", "strays")

    def __init__(self) -> None:
        self.frames_in = self.frames_out = 0
        self.online = 0
        """Live pushes handed to a device."""
        self.acked = 0
        """Of these: acknowledged in time."""
        self.delivered: Counter[int] = Counter()
        """Pushes of each wake, stored ones too, that their device has taken."""
        self.duplicates = 0
        self.strays = 0
        """Acknowledgements of what is not in flight to that device."""

    def flush(self) -> None:
        """Add everything to the metrics and begin anew."""
        push_metrics.FRAMES.labels(direction="in").inc(self.frames_in)
        push_metrics.FRAMES.labels(direction="out").inc(self.frames_out)
        push_metrics.ONLINE.inc(self.online)
        push_metrics.ACKED.inc(self.acked)
        for wake, count in self.delivered.items():
            push_metrics.SENT.labels(priority=str(wake), status=PushStatus.DELIVERED).inc(count)
        self.delivered.clear()
        push_metrics.DUPLICATES.inc(self.duplicates)
        push_metrics.STRAY_ACKS.inc(self.strays)
        self.frames_in = self.frames_out = self.online = self.acked = self.duplicates = self.strays = 0
