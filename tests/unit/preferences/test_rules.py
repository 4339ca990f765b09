"""The table of rules, row by row, and what must hold whatever anybody chose."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.decision import Decision, Verdict
from domain.lanes import Channel
from domain.reasons import Reason
from preferences import rules
from preferences.categories import SHIPPED
from preferences.model import ALL, ALL_OPTIONAL, Category, Kind, KnownRecipient, Preferences

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
EMAIL, SMS = Channel.EMAIL, Channel.SMS
ORDERS, SECURITY, MARKETING = SHIPPED["orders"], SHIPPED["security"], SHIPPED["marketing"]
ALARM = replace(SECURITY, name="alarm", required=False)
"""Critical, and yet not required."""


def recipient(suppressed: set[tuple[Channel, str]] | None = None, **chosen: Any) -> KnownRecipient:
    contacts = {EMAIL: UUID(int=1), SMS: UUID(int=2)}
    marks = frozenset(suppressed or ())
    return KnownRecipient(UUID(int=3), "user-42", 7, None, None, None, contacts, Preferences(**chosen), marks)


def judged(category: Category, who: KnownRecipient, channel: Channel = EMAIL) -> Decision:
    return rules.judge(category, who, channel, now=NOW)


@pytest.mark.parametrize(
    ("rule", "reason", "category", "who"),
    [
        ("suppression_list", Reason.SUPPRESSION_LIST, SECURITY, recipient({(EMAIL, ALL)})),
        ("required", None, SECURITY, recipient(unsubscribed=True, categories={"security": False})),
        ("required", None, SECURITY, recipient({(EMAIL, ALL_OPTIONAL), (EMAIL, "security")})),
        ("address_unsubscribed", Reason.UNSUBSCRIBED_GLOBAL, ORDERS, recipient({(EMAIL, ALL_OPTIONAL)})),
        ("default", None, ALARM, recipient({(EMAIL, ALL_OPTIONAL)})),
        ("unsubscribed", Reason.UNSUBSCRIBED_GLOBAL, ORDERS, recipient(unsubscribed=True, categories={"orders": True})),
        ("default", None, ALARM, recipient(unsubscribed=True)),
        ("address_category", Reason.UNSUBSCRIBED_CATEGORY, ORDERS, recipient({(EMAIL, "orders")})),
        ("default", None, ORDERS, recipient({(EMAIL, "marketing"), (SMS, "orders"), (SMS, ALL)})),
        ("category_channel", None, MARKETING, recipient(categories={"marketing": {EMAIL: True}})),
        ("category_channel", None, ORDERS, recipient(channels={EMAIL: False}, categories={"orders": {EMAIL: True}})),
        (
            "category_channel",
            Reason.UNSUBSCRIBED_CATEGORY,
            ORDERS,
            recipient(channels={EMAIL: True}, categories={"orders": {EMAIL: False}}),
        ),
        ("default", None, ORDERS, recipient(categories={"orders": {SMS: False}})),
        ("category_off", Reason.UNSUBSCRIBED_CATEGORY, ORDERS, recipient(categories={"orders": False})),
        ("channel_off", Reason.CHANNEL_OPT_OUT, ORDERS, recipient(channels={EMAIL: False})),
        (
            "channel_off",
            Reason.CHANNEL_OPT_OUT,
            ORDERS,
            recipient(channels={EMAIL: False}, categories={"orders": True}),
        ),
        ("category_on", None, MARKETING, recipient(categories={"marketing": True})),
        ("default", None, ORDERS, recipient()),
        ("default", Reason.CONSENT_MISSING, MARKETING, recipient()),
        ("default", Reason.CONSENT_MISSING, MARKETING, recipient(channels={EMAIL: True})),
    ],
)
def test_the_first_row_that_applies_decides(
    rule: str, reason: Reason | None, category: Category, who: KnownRecipient
) -> None:
    decision = judged(category, who)

    assert (decision.inputs["rule"], decision.reason) == (rule, reason)
    assert decision.verdict is (Verdict.PASS if reason is None else Verdict.SUPPRESS)


def test_a_decision_names_the_version_and_the_category_it_was_made_with() -> None:
    decision = judged(ORDERS, recipient(channels={EMAIL: False}))

    assert decision.inputs == {"version": 7, "category": "orders", "rule": "channel_off", "chosen": False}
    assert decision.channel is EMAIL


names = st.sampled_from(["orders", "security", "marketing", "alarm", "other"])
channels = st.sampled_from([EMAIL, SMS])
yes_or_no = st.booleans()
choices = yes_or_no | st.dictionaries(channels, yes_or_no)
chosen = st.builds(
    Preferences,
    channels=st.dictionaries(channels, yes_or_no),
    categories=st.dictionaries(names, choices),
    unsubscribed=yes_or_no,
)
marks = st.frozensets(st.tuples(channels, names | st.sampled_from([ALL, ALL_OPTIONAL])))
anybody = st.builds(
    KnownRecipient,
    user_id=st.just(UUID(int=3)),
    external_id=st.just("user-42"),
    version=st.integers(1),
    locale=st.none(),
    timezone=st.none(),
    name=st.none(),
    contacts=st.just({EMAIL: UUID(int=1), SMS: UUID(int=2)}),
    preferences=chosen,
    suppressed=marks,
)
any_category = st.builds(
    replace,
    st.sampled_from([ORDERS, SECURITY, MARKETING, ALARM]),
    required=yes_or_no,
    default_allow=yes_or_no,
    kind=st.sampled_from(Kind),
)


@given(any_category, anybody, channels)
def test_a_suppressed_address_is_never_written_to(category: Category, who: KnownRecipient, channel: Channel) -> None:
    who = replace(who, suppressed=who.suppressed | {(channel, ALL)})

    assert judged(category, who, channel).reason is Reason.SUPPRESSION_LIST


@given(any_category, anybody, channels)
def test_a_required_category_reaches_everybody_whose_address_lives(
    category: Category, who: KnownRecipient, channel: Channel
) -> None:
    who = replace(who, suppressed=who.suppressed - {(channel, ALL)})

    assert judged(replace(category, required=True), who, channel).verdict is Verdict.PASS


@given(any_category, anybody, channels)
def test_whoever_said_no_to_all_hears_nothing_but_what_is_required_or_critical(
    category: Category, who: KnownRecipient, channel: Channel
) -> None:
    who = replace(who, preferences=replace(who.preferences, unsubscribed=True))

    decision = judged(category, who, channel)

    if decision.verdict is Verdict.PASS:
        assert category.required or category.kind is Kind.CRITICAL


@given(any_category, anybody, channels)
def test_a_no_to_a_category_on_a_channel_always_wins_unless_required(
    category: Category, who: KnownRecipient, channel: Channel
) -> None:
    categories = {**who.preferences.categories, category.name: {channel: False}}
    who = replace(who, preferences=replace(who.preferences, categories=categories))

    assert category.required or judged(category, who, channel).verdict is Verdict.SUPPRESS


@given(any_category, anybody, channels)
def test_a_no_to_a_channel_wins_unless_required_or_wanted_for_just_this_category_and_channel(
    category: Category, who: KnownRecipient, channel: Channel
) -> None:
    refused = {**who.preferences.channels, channel: False}
    who = replace(who, preferences=replace(who.preferences, channels=refused))

    decision = judged(category, who, channel)

    if decision.verdict is Verdict.PASS and not category.required:
        assert decision.inputs["rule"] == "category_channel"


@given(any_category, anybody, channels, names)
def test_unsubscribing_from_one_category_never_changes_another(
    category: Category, who: KnownRecipient, channel: Channel, other: str
) -> None:
    if other == category.name:
        return
    more = replace(who, suppressed=who.suppressed | {(channel, other)})

    assert judged(category, more, channel) == judged(category, who, channel)


@given(any_category, anybody, channels)
def test_every_no_has_a_reason_and_every_yes_has_none(
    category: Category, who: KnownRecipient, channel: Channel
) -> None:
    decision = judged(category, who, channel)

    assert (decision.reason is None) == (decision.verdict is Verdict.PASS)
