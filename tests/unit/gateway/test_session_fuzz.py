"""A session under everything that can happen, in any order: it never raises, sends nothing twice, loses nothing."""

import json
from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from channels.push.gateway.actions import Action, Close, LookUp, Push, Report
from channels.push.gateway.codes import CloseCode
from channels.push.gateway.drain import Read
from channels.push.gateway.flight import MAX_LIVE, MAX_STORED
from channels.push.gateway.session import Session, State
from channels.push.gateway.tally import Tally
from domain.receipts import ReceiptKind
from tests.unit.gateway.sessions import DEVICE, HELLO, a_push, acks, said
from tests.unit.gateway.test_mailbox_drain import answer, ids_of

NUMBERS = st.integers(min_value=0, max_value=400)
FOLDS = st.sampled_from([None, None, "score", "news"])
WAKES = st.sampled_from([10, 10, 5, 1])


class Connection(RuleBasedStateMachine):
    """The session, its mailbox, and a device that acknowledges, talks nonsense, or is silent."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.session = Session(self.now, 15.0, Tally())
        self.pushes: dict[int, Push] = {}
        self.mailbox: dict[bytes, Push] = {}
        self.handed: set[bytes] = set()
        self.sent: list[bytes] = []
        self.settled: set[bytes] = set()
        self.reported: set[bytes] = set()
        self.withdrawn: set[bytes] = set()
        self.asked: list[Read] = []
        self.is_looking = self.is_announced = self.is_over = False

    # ---- what the world does

    @initialize(nap_s=st.sampled_from([0, 0, 30]), is_late=st.booleans())
    def begin(self, nap_s: int, is_late: bool) -> None:
        self.take(self.session.received(said(**HELLO, nap_s=nap_s), self.now))
        assert self.is_looking
        self.take(self.session.admitted(DEVICE, "c", [], self.now))
        if not is_late:
            self.announce()

    @precondition(lambda self: not self.is_announced)
    @rule()
    def announce(self) -> None:
        self.is_announced = True
        self.take(self.session.announced(self.now))

    @rule(number=NUMBERS, fold=FOLDS, wake=WAKES)
    def hand(self, number: int, fold: str | None, wake: int) -> None:
        push = self.pushes.setdefault(number, a_push(number, wake=wake, collapse_id=fold))
        if push.delivery not in self.mailbox:
            self.handed.add(push.delivery)
        self.take(self.session.handed(push, self.now))

    @rule(numbers=st.lists(NUMBERS, max_size=60), fold=FOLDS, wake=WAKES, size=st.sampled_from([0, 3000]))
    def store(self, numbers: list[int], fold: str | None, wake: int, size: int) -> None:
        for number in numbers:
            push = self.pushes.setdefault(number, a_push(number, wake=wake, collapse_id=fold, size=size))
            if push.delivery not in self.settled:
                self.mailbox[push.delivery] = push

    @rule()
    def hint(self) -> None:
        self.take(self.session.hinted())

    @rule(count=st.integers(1, 100), wake=WAKES, age_s=st.floats(0, 100))
    def poll(self, count: int, wake: int, age_s: float) -> None:
        self.take(self.session.waiting(count, wake, age_s))

    @precondition(lambda self: self.asked)
    @rule(is_lost=st.booleans())
    def answer_page(self, is_lost: bool) -> None:
        read = self.asked.pop()
        if is_lost:
            self.session.unread()
        else:
            self.take(self.session.page(answer(list(self.mailbox.values()), read, set()), self.now))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), code=st.sampled_from([100, 100, 101, 102]))
    def acknowledge(self, data: Any, code: int) -> None:
        some = data.draw(st.lists(st.sampled_from(self.sent), min_size=1, max_size=50))
        self.take(self.session.received(acks(*some, code=code), self.now))

    @rule(numbers=st.lists(NUMBERS, max_size=3))
    def withdraw(self, numbers: list[int]) -> None:
        ids = [self.pushes[number].delivery for number in numbers if number in self.pushes]
        self.withdrawn |= set(ids)
        self.take(self.session.withdrawn(ids, self.now))

    @rule(message=st.sampled_from([b"{}", said(type="seen", ids=[str(UUID(int=7))]), acks(UUID(int=7).bytes)]))
    def talk(self, message: bytes) -> None:
        self.take(self.session.received(message, self.now))

    @precondition(lambda self: len(self.sent) > 20)
    @rule(message=st.binary(max_size=40))
    def babble(self, message: bytes) -> None:
        self.take(self.session.received(message, self.now))

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        if self.session.due_at <= self.now:
            self.take(self.session.tick(self.now))

    def teardown(self) -> None:
        self.take(self.session.lost())
        self.is_over = True
        self.nothing_is_lost()

    @precondition(lambda self: len(self.sent) > 20)
    @rule(code=st.sampled_from([CloseCode.GHOSTED, CloseCode.LEAVING, CloseCode.TOO_SLOW]))
    def close(self, code: CloseCode) -> None:
        self.take(self.session.close(code, "", self.now))

    # ---- what must hold

    def take(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, bytes):
                assert not self.is_over
                self.note(action)
            elif isinstance(action, Report):
                self.judge(action)
            elif isinstance(action, Read):
                assert not self.asked, "two pages of one device at once"
                assert 0 < action.limit <= MAX_STORED
                self.asked.append(action)
            elif isinstance(action, LookUp):
                self.is_looking = True
            elif isinstance(action, Close):
                assert self.session.state is State.CLOSING

    def note(self, text: bytes) -> None:
        if json.loads(text).get("type") in ("notification", "batch"):
            for one in ids_of(text):
                assert one not in self.sent, "an id went out twice over one connection"
                self.sent.append(one)

    def judge(self, report: Report) -> None:
        self.reported.add(report.delivery)
        if report.kind in (ReceiptKind.DELIVERED, ReceiptKind.FAILED):
            assert report.delivery in self.sent, "a receipt for what was never sent"
            self.settled.add(report.delivery)
            self.mailbox.pop(report.delivery, None)
        if report.kind is ReceiptKind.COLLAPSED:
            assert report.successor is not None
            assert report.successor > report.delivery

    @invariant()
    def nothing_is_lost(self) -> None:
        """Each live push was sent, or reported; at the end each one was reported, acknowledged or taken back."""
        unsaid = self.handed - set(self.sent) - self.reported - self.withdrawn
        assert not unsaid
        if self.is_over:
            assert not self.handed - self.reported - self.settled - self.withdrawn - set(self.mailbox)

    @invariant()
    def what_is_in_flight_is_bounded(self) -> None:
        assert self.session.in_flight <= MAX_LIVE + MAX_STORED


TestConnection = Connection.TestCase
TestConnection.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)
