"""What is handed to one device, and when: live pushes, pages of its mailbox, its windows, its acknowledgements. Pure.

Nothing is lost silently: each live push is sent or reported, and what is in flight at the end is reported absent.
Overdue acknowledgements are the platform's to notice: it sends them again by way of the mailbox.
"""

from collections.abc import Iterable, Sequence

from channels.push.gateway.actions import Action, Push, Report
from channels.push.gateway.drain import Drain
from channels.push.gateway.flight import Flight
from channels.push.gateway.frames import Acked, batches, withdraw
from channels.push.gateway.tally import Tally
from domain.push import ACK_WITHIN_S, Wake
from domain.receipts import ReceiptKind

WAKE_PAUSE_S = 5.0
"""A device that wakes more often is not looked after each time."""
BATCH_SIZE, BATCH_AFTER_S = 20, 60.0
"""Pushes of wake 1 leave when there are so many, or one has waited so long, or the device is awake anyway."""
_DELIVERED = 100


class Handing:
    """One device's pushes. Times are seconds of the caller's monotonic clock."""

    __slots__ = ("_drain", "_flight", "_is_holding", "_is_open", "_tally", "_woken_at", "nap_s", "window_at")

    def __init__(self, tally: Tally, now: float) -> None:
        self.nap_s = 0
        """The device takes less urgent pushes at most so often; 0: at once."""
        self.window_at = now
        """When it takes them next."""
        self._tally = tally
        self._flight = Flight()
        self._drain = Drain()
        self._is_open = False
        self._is_holding = False
        self._woken_at = now

    @property
    def in_flight(self) -> int:
        """Pushes sent and not acknowledged."""
        return len(self._flight.flying)

    def open(self, now: float) -> list[Action]:
        """Whoever pushes from now on finds the device: what came before lies in the mailbox, which is read now."""
        self._is_open = True
        return self.window(now)

    def shut(self) -> None:
        """Nothing is handed over any more; acknowledgements may still come."""
        self._is_open = False

    def end(self) -> list[Action]:
        """The connection is gone: what was live and not acknowledged is to be handed over another way."""
        self.shut()
        flying = self._flight.flying
        reports: list[Action] = [Report(ReceiptKind.ABSENT, one) for one, flown in flying.items() if flown.is_live]
        flying.clear()
        return reports

    def live(self, push: Push, now: float) -> list[Action]:
        """A live push: sent, or reported."""
        known = self._known(push)
        if known is not None:
            self._tally.duplicates += 1
            return known
        if not self._flight.has_room or (self.nap_s and push.wake < Wake.NOW):
            return [Report(ReceiptKind.ABSENT, push.delivery)]
        self._tally.online += 1
        actions = self._send(push, now, is_live=True)
        if self.nap_s or self._is_holding:
            actions += self.woken(now)
        return actions

    def hinted(self) -> list[Action]:
        """Something was put into the mailbox that need not wait for a window."""
        return self._read(Wake.NOW if self.nap_s else Wake.NAP)

    def waiting(self, count: int, greatest_wake: int, age_s: float) -> list[Action]:
        """So many letters are due, the oldest for `age_s` seconds: begin with what may be handed over now."""
        least = Wake.NOW if self.nap_s else Wake.NAP
        if count >= BATCH_SIZE or age_s >= max(BATCH_AFTER_S, self.nap_s):
            least = Wake.BATCH
        self._is_holding = least > Wake.BATCH
        return self._read(least) if greatest_wake >= least else []

    def woken(self, now: float) -> list[Action]:
        """The device is awake: what waited for that goes out too."""
        if now - self._woken_at < WAKE_PAUSE_S:
            return []
        return self.window(now)

    def window(self, now: float) -> list[Action]:
        """The device takes everything now."""
        self._woken_at = now
        self.window_at = now + self.nap_s
        self._is_holding = False
        return self._read(Wake.BATCH)

    def page(self, letters: Sequence[Push], now: float) -> list[Action]:
        """The letters that were asked for last."""
        self._drain.answered(len(letters))
        actions: list[Action] = []
        batch: list[bytes] = []
        for push in letters:
            if not self._is_open or not self._flight.has_credit:
                self._drain.left()
                break
            self._drain.passed(push.place)
            known = self._known(push)
            if known is not None:
                actions += known
            elif push.wake == Wake.BATCH:
                actions += self._track(push, now, is_live=False)
                batch.append(push.text)
            else:
                actions += self._send(push, now, is_live=False)
        texts = batches(batch)
        self._tally.frames_out += len(texts)
        return [*actions, *texts, *self._go_on()]

    def unread(self) -> None:
        """The mailbox could not be read; who is asked next begins anew."""
        self._drain.failed()

    def withdraw(self, deliveries: Iterable[bytes]) -> list[Action]:
        """These are to be taken back, if the device can; their ends are the platform's."""
        if not self._is_open:
            return []
        ids = list(deliveries)
        for delivery in ids:
            self._flight.drop(delivery)
        self._tally.frames_out += 1
        return [withdraw(ids), *self._go_on()]

    def acked(self, acked: Sequence[Acked], now: float) -> list[Action]:
        """What the device says became of pushes; those that are not in flight to it change nothing."""
        actions: list[Action] = []
        for one in acked:
            delivery = one.id.bytes
            flown = self._flight.settle(delivery, one.code)
            if flown is None:
                self._tally.strays += 1
                continue
            actions.append(_outcome(delivery, one.code, live_wake=flown.wake if flown.is_live else 0))
            self._tally.delivered[flown.wake] += one.code == _DELIVERED
            self._tally.acked += flown.is_live and now - flown.at <= ACK_WITHIN_S
        return actions + self._go_on()

    def _known(self, push: Push) -> list[Action] | None:
        """What there is to say of a push that went out here before, or that a newer one has replaced; else None."""
        code = self._flight.known_code(push.delivery)
        if code:
            return [_outcome(push.delivery, code)]  # its receipt has not done its work yet, or is lost
        if push.delivery in self._flight.flying:
            return []
        newer = self._flight.newer(push.delivery, push.collapse_id)
        if newer is not None:
            return [Report(ReceiptKind.COLLAPSED, push.delivery, successor=newer)]
        return None if code is None else []

    def _send(self, push: Push, now: float, *, is_live: bool) -> list[Action]:
        actions = self._track(push, now, is_live=is_live)
        self._tally.frames_out += 1
        actions.append(push.text)
        return actions

    def _track(self, push: Push, now: float, *, is_live: bool) -> list[Action]:
        older = self._flight.begin(push, is_live=is_live, now=now)
        return [] if older is None else [Report(ReceiptKind.COLLAPSED, older, successor=push.delivery)]

    def _read(self, least_wake: int) -> list[Action]:
        self._drain.want(least_wake)
        return self._go_on()

    def _go_on(self) -> list[Action]:
        read = self._drain.next(self._flight.credit) if self._is_open else None
        return [] if read is None else [read]


def _outcome(delivery: bytes, code: int, *, live_wake: int = 0) -> Report:
    kind = ReceiptKind.DELIVERED if code == _DELIVERED else ReceiptKind.FAILED
    return Report(kind, delivery, code, live_wake=live_wake)
