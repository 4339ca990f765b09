"""Cases that are alike are judged once: the others get the very same, and no case gets what is another's."""

import asyncio
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.ids import notification_id, uuid7
from domain.lanes import Channel, Priority
from domain.notification import Recipient
from fanout.answers import decisions_json, gates_json
from fanout.cases import Case, Item
from fanout.gates import dedupe
from fanout.gates.verdicts import Judge, Told
from fanout.plan import plan
from plumbing.limiter import Answer
from preferences.categories import SHIPPED
from preferences.model import KnownRecipient, Preferences, QuietHours
from tests.builders import a_key, a_request, a_sender

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SENDER = a_sender(uuid7())
LEFT, NONE_LEFT = Answer(True, 10, 1, 9, 0, 1), Answer(False, 10, 1, 0, 60, 60)
BOTH = (Channel.EMAIL, Channel.PUSH)
ADA = KnownRecipient(uuid7(), "ada", 1, None, None, None, {Channel.EMAIL: uuid7()}, devices=(uuid7(),))

USUAL: dict[str, Any] = {
    "known": ADA,
    "to": Recipient(user="ada"),
    "category": "orders",
    "channels": BOTH,
    "told": Told(LEFT, {}),
}
OTHERS: list[dict[str, Any]] = [
    {},
    {"known": KnownRecipient(uuid7(), "bob", 1, None, None, None, {Channel.EMAIL: uuid7()}, devices=(uuid7(),))},
    {"known": KnownRecipient(uuid7(), "eve", 2, None, None, None, {Channel.EMAIL: uuid7()}, devices=(uuid7(),))},
    {"known": KnownRecipient(uuid7(), "two", 1, None, None, None, {}, devices=(uuid7(), uuid7()))},
    {"known": KnownRecipient(uuid7(), "no", 1, None, None, None, {Channel.EMAIL: uuid7()}, foreign_devices=2)},
    {"known": KnownRecipient(uuid7(), "out", 1, None, None, None, {}, Preferences(unsubscribed=True))},
    {"known": KnownRecipient(uuid7(), "mute", 1, None, None, None, {}, Preferences(channels={Channel.PUSH: False}))},
    {"known": KnownRecipient(uuid7(), "off", 1, None, None, None, {}, Preferences(categories={"orders": False}))},
    {"known": KnownRecipient(uuid7(), "bad", 1, None, None, None, {}, suppressed=frozenset({(Channel.EMAIL, "")}))},
    {
        "known": KnownRecipient(
            uuid7(), "zzz", 1, None, None, None, {}, Preferences(quiet_hours=QuietHours(time(11), time(13)))
        )
    },
    {
        "known": KnownRecipient(None, None, 1, None, None, None, {Channel.EMAIL: uuid7()}),
        "to": Recipient(email="a@b.c"),
    },
    {"to": Recipient(device_id=uuid7())},
    {"category": "marketing"},
    {"category": "security"},
    {"channels": (Channel.PUSH,)},
    {"told": Told(None, {})},
    {"told": Told(LEFT, {Channel.PUSH: LEFT})},
    {"told": Told(LEFT, {Channel.PUSH: NONE_LEFT})},
    {"key": a_key("one")},
    {"priority": Priority.CRITICAL},
    {"send_at": NOW + timedelta(hours=1)},
    {"expires_in_s": 60},
    {"expires_in_s": 0},
    {"dedupe_key": "d"},
]


@pytest.fixture
def loop() -> asyncio.AbstractEventLoop:
    """A loop that never runs: answers come from one."""
    return asyncio.new_event_loop()


def a_case(loop: asyncio.AbstractEventLoop, wishes: dict[str, Any]) -> tuple[Case, Told]:
    wished = {**USUAL, **wishes}
    known, category, told, key = (wished.pop(name, None) for name in ("known", "category", "told", "key"))
    case = Case(Item(SENDER, a_request(**wished), key), notification_id(), loop.create_future())
    case.category, case.recipient, case.channels = SHIPPED[category], known, wished["channels"]
    return case, told


def said(case: Case) -> tuple[object, ...]:
    """What was decided, with the ids of this case's own left out."""
    planned = [(each.channel, each.status, each.reason, each.until) for each in case.deliveries]
    return case.decisions, planned, case.expires_at, case.recheck_at


def test_judged_together_each_gets_what_it_would_get_alone(loop: asyncio.AbstractEventLoop) -> None:
    together = Judge(NOW)
    for wishes in [*OTHERS, *reversed(OTHERS), *OTHERS]:
        case, told = a_case(loop, wishes)
        together(case, told)
        alone, _ = a_case(loop, wishes)
        Judge(NOW)(alone, told)
        for each in (case, alone):
            plan(each)

        assert said(case) == said(alone), wishes
        assert case.gates_json == gates_json(case.decisions)
    loop.close()


def test_what_is_added_to_one_case_is_not_added_to_those_alike(loop: asyncio.AbstractEventLoop) -> None:
    judge = Judge(NOW)
    (first, told), (second, _) = (a_case(loop, {"dedupe_key": "d"}) for _ in range(2))
    for case in (first, second):
        judge(case, told)
        plan(case)

    rivals = dedupe.find_rivals([first, second])
    dedupe.settle(rivals, {})

    assert second.duplicate_of == first.id
    assert first.duplicate_of is None
    assert [len(case.decisions) for case in (first, second)] == [len(first.decisions)] * 2
    assert first.decisions[-1] != second.decisions[-1]
    for case in (first, second):
        assert gates_json(case.decisions) in decisions_json(case)
    loop.close()


def test_deliveries_go_to_the_recipients_own_addresses(loop: asyncio.AbstractEventLoop) -> None:
    judge, seen = Judge(NOW), set[UUID]()
    for wishes in OTHERS[:2]:
        case, told = a_case(loop, wishes)
        judge(case, told)
        plan(case)
        seen |= {each.address_id for each in case.deliveries if each.address_id is not None}

    assert len(seen) == 4
    loop.close()
