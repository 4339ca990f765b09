"""One connection of a device, as a state machine: frames, answers and the time go in, actions come out. Pure.

It says hello, keeps the peace (heartbeats, how much a device may say) and says goodbye; pushes are `handing`'s.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from uuid import UUID

from channels.push.gateway.actions import Action, Close, LookUp, Push, Report, Signal
from channels.push.gateway.codes import CloseCode, come_again
from channels.push.gateway.frames import PING, Ack, ClientFrame, Hello, Misspoken, Seen, hello, parse
from channels.push.gateway.handing import Handing
from channels.push.gateway.heartbeat import Heartbeat, Pulse
from channels.push.gateway.pace import Bucket
from channels.push.gateway.tally import Tally
from domain.receipts import ReceiptKind

HELLO_WITHIN_S = 5.0
LOOK_UP_WITHIN_S = 10.0
GOODBYE_WITHIN_S = 2.0
"""So long the peer may take to answer a close frame."""
MESSAGES_PER_S, MESSAGES_BURST = 20.0, 100.0
"""What a device may say unasked; acknowledging what it was sent is free."""
IDS_PER_MESSAGE = 50
"""So many ids that settle nothing cost as much as one message more."""
ECHO_PAUSE_S = 1.0


class State(Enum):
    """How far a connection is."""

    GREETING = "greeting"
    ASKING = "asking"
    OPEN = "open"
    CLOSING = "closing"


class Session:
    """One connection. Times are seconds of the caller's monotonic clock; at `due_at` it wants its `tick`."""

    __slots__ = ("_bucket", "_handing", "_heartbeat", "_tally", "due_at", "state")

    def __init__(self, now: float, heartbeat_s: float, tally: Tally) -> None:
        self.state = State.GREETING
        self.due_at = now + HELLO_WITHIN_S
        self._tally = tally
        self._bucket = Bucket(MESSAGES_PER_S, MESSAGES_BURST, now)
        self._heartbeat = Heartbeat(heartbeat_s, now)
        self._handing = Handing(tally, now)

    @property
    def is_napping(self) -> bool:
        """Whether the device declared windows for what is less urgent."""
        return self._handing.nap_s > 0

    @property
    def in_flight(self) -> int:
        """Pushes sent and not acknowledged."""
        return self._handing.in_flight

    # ---- what the device does

    def received(self, message: bytes, now: float) -> list[Action]:
        """A text message of the device. Never raises, whatever the bytes."""
        self._heartbeat.heard_at = now
        self._tally.frames_in += 1
        try:
            frame = parse(message)
        except Misspoken as error:
            return self.close(error.code, error.why, now)
        if self.state is State.OPEN or (self.state is State.CLOSING and isinstance(frame, Ack | Seen)):
            return self._said(frame, now)
        if self.state is State.GREETING and isinstance(frame, Hello):
            self.state = State.ASKING
            self.due_at = now + LOOK_UP_WITHIN_S
            self._handing.nap_s = frame.nap_s
            return [LookUp(frame)]
        if self.state is State.ASKING and frame is None:
            return []
        return self.close(CloseCode.UNAUTHENTICATED, "say hello first, and wait for the answer", now)

    def heard(self, now: float) -> None:
        """A ping or pong of the device's WebSocket: it lives."""
        self._heartbeat.heard_at = now

    def lost(self) -> list[Action]:
        """The connection is gone; what was in flight is reported."""
        self.state = State.CLOSING
        return self._handing.end()

    # ---- what the platform does

    def admitted(self, device: UUID, connection: str, gateways: Sequence[str], now: float) -> list[Action]:
        """The device is who it says. It is to be announced; then call `announced`."""
        if self.state is not State.ASKING:
            return []
        self.state = State.OPEN
        self.due_at = now
        return self._speak([hello(device, connection, self._heartbeat.every_s, gateways)], now)

    def announced(self, now: float) -> list[Action]:
        """Whoever pushes from now on finds the device."""
        return self._speak(self._handing.open(now), now) if self.state is State.OPEN else []

    def handed(self, push: Push, now: float) -> list[Action]:
        """A live push."""
        if self.state is not State.OPEN:
            return [Report(ReceiptKind.ABSENT, push.delivery)]
        return self._speak(self._handing.live(push, now), now)

    def hinted(self) -> list[Action]:
        """Something was put into the mailbox that need not wait for a window."""
        return self._handing.hinted()

    def waiting(self, count: int, greatest_wake: int, age_s: float) -> list[Action]:
        """So many letters are due, the oldest for `age_s` seconds."""
        return self._handing.waiting(count, greatest_wake, age_s)

    def page(self, letters: Sequence[Push], now: float) -> list[Action]:
        """The letters that were asked for last."""
        return self._speak(self._handing.page(letters, now), now)

    def unread(self) -> None:
        """The mailbox could not be read."""
        self._handing.unread()

    def withdrawn(self, deliveries: Iterable[bytes], now: float) -> list[Action]:
        """These are to be taken back."""
        return self._speak(self._handing.withdraw(deliveries), now)

    def close(self, code: CloseCode, why: str, now: float) -> list[Action]:
        """End it. The device may still acknowledge until it is gone."""
        if self.state is State.CLOSING:
            return []
        self.state = State.CLOSING
        self.due_at = now + GOODBYE_WITHIN_S
        self._handing.shut()
        return [Close(code, why)]

    def tick(self, now: float) -> list[Action]:
        """The clock has reached `due_at`."""
        if self.state is State.CLOSING:
            self.due_at = now + GOODBYE_WITHIN_S
            return [Signal.ABORT]
        if self.state is State.GREETING:
            return self.close(CloseCode.UNAUTHENTICATED, f"no hello within {HELLO_WITHIN_S:g} s", now)
        if self.state is State.ASKING:
            return self.close(CloseCode.BUSY, come_again(LOOK_UP_WITHIN_S), now)
        return self._beat(now)

    # ---- how it does it

    def _said(self, frame: ClientFrame, now: float) -> list[Action]:
        """What an admitted device says. What is free: acknowledging pushes that are in flight."""
        if isinstance(frame, Hello):
            return self.close(CloseCode.MALFORMED, "hello is said once", now)
        actions: list[Action] = []
        cost = 1
        if isinstance(frame, Ack):
            actions = self._handing.acked(frame.ids, now)
            settled = sum(1 for one in actions if isinstance(one, Report))
            cost = (0 if settled else 1) + (len(frame.ids) - settled) // IDS_PER_MESSAGE
        elif isinstance(frame, Seen):
            cost += len(frame.ids) // IDS_PER_MESSAGE
        elif now - self._heartbeat.sent_at >= ECHO_PAUSE_S:
            self._tally.frames_out += 1
            actions = [PING]
        if cost and not self._bucket.take(cost, now):
            return actions + self.close(CloseCode.TOO_MUCH, f"more than {MESSAGES_PER_S:g} messages a second", now)
        if isinstance(frame, Seen):
            actions = [*(Report(ReceiptKind.SEEN, one.bytes) for one in frame.ids), *self._handing.woken(now)]
        return self._speak(actions, now)

    def _beat(self, now: float) -> list[Action]:
        pulses, self.due_at = self._heartbeat.beat(now)
        actions: list[Action] = []
        for pulse in pulses:
            if pulse is Pulse.GONE:
                return self.close(CloseCode.SILENT, f"silent for {self._heartbeat.silent_s(now):.0f} s", now)
            if pulse is Pulse.SPEAK:
                self._tally.frames_out += 1
            actions.append(PING if pulse is Pulse.SPEAK else Signal.PING)
        if self.is_napping:
            if now >= self._handing.window_at:
                actions += self._handing.window(now)
            self.due_at = min(self.due_at, self._handing.window_at)
        return actions

    def _speak(self, actions: list[Action], now: float) -> list[Action]:
        """Note that something goes out, if something does."""
        for action in actions:
            if type(action) is bytes:
                self._heartbeat.sent_at = now
                break
        return actions
