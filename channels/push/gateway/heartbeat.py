"""Heartbeats: each side says something at least so often, and who is silent twice as long is gone. Pure."""

from enum import Enum


class Pulse(Enum):
    """What a beat asks for."""

    SPEAK = "speak"
    """We were silent: say that we are here."""
    PROBE = "probe"
    """The device is silent: ask it."""
    GONE = "gone"


class Heartbeat:
    """When either side was heard last; seconds of the caller's clock."""

    __slots__ = ("every_s", "heard_at", "sent_at")

    def __init__(self, every_s: float, now: float) -> None:
        self.every_s = every_s
        self.heard_at = now
        self.sent_at = now

    def silent_s(self, now: float) -> float:
        """How long the device has been silent."""
        return now - self.heard_at

    def beat(self, now: float) -> tuple[list[Pulse], float]:
        """What is to be done now, and when to look again."""
        silent_s = self.silent_s(now)
        if silent_s >= 2 * self.every_s:
            return [Pulse.GONE], now
        pulses = []
        if silent_s >= self.every_s:
            pulses.append(Pulse.PROBE)
        if now - self.sent_at >= self.every_s:
            self.sent_at = now
            pulses.append(Pulse.SPEAK)
        after_s = self.every_s / 2 if pulses[:1] == [Pulse.PROBE] else self.every_s
        return pulses, min(self.heard_at + 2 * self.every_s, self.sent_at + self.every_s, now + after_s)
