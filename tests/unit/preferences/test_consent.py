"""Unsubscribe tokens: ours open, all others do not; and what a refusal leaves as it was."""

from dataclasses import replace
from datetime import time
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.lanes import Channel
from domain.notification import Recipient
from plumbing.secrets import Seal
from preferences.cache import decode, encode, key
from preferences.consent import Subscription, describe, make_token, refused, unsubscribe_url
from preferences.model import KnownRecipient, Preferences, QuietHours

SEAL = Seal("a secret key of more than 32 bytes!!")
TENANT, USER, CONTACT = uuid4(), uuid4(), uuid4()
NEWS = Subscription(TENANT, USER, None, Channel.EMAIL, "marketing")


@pytest.mark.parametrize("subscription", [NEWS, Subscription(TENANT, None, CONTACT, Channel.SMS, "a.b-c_1")])
def test_a_token_tells_what_it_was_made_for(subscription: Subscription) -> None:
    assert describe(SEAL, make_token(SEAL, subscription)) == subscription


def test_a_user_with_an_address_is_named_as_the_user() -> None:
    both = Subscription(TENANT, USER, CONTACT, Channel.EMAIL, "marketing")

    assert describe(SEAL, make_token(SEAL, both)) == NEWS


def test_a_token_is_short_enough_for_a_header_line() -> None:
    assert len(unsubscribe_url(SEAL, "https://notify.example.com/", NEWS)) < 200
    assert unsubscribe_url(SEAL, "https://notify.example.com/", NEWS).startswith("https://notify.example.com/u/")


def test_a_token_of_another_house_or_purpose_opens_nothing() -> None:
    payload = SEAL.open("unsubscribe", make_token(SEAL, NEWS))
    assert payload is not None

    assert describe(Seal("another secret key of 32 bytes and more"), make_token(SEAL, NEWS)) is None
    assert describe(SEAL, SEAL.sign("open", payload)) is None
    assert describe(SEAL, SEAL.sign("unsubscribe", b"")) is None


def test_a_token_whose_recipient_was_swapped_opens_nothing() -> None:
    mine = make_token(SEAL, NEWS)
    other = make_token(SEAL, Subscription(TENANT, uuid4(), None, Channel.EMAIL, "marketing"))

    assert describe(SEAL, mine[:22] + other[22:]) is None


@given(st.text(max_size=120))
def test_whatever_text_comes_as_a_token_it_opens_nothing(text: str) -> None:
    assert describe(SEAL, text) is None


@given(st.integers(0, 79), st.sampled_from("AZaz09-_"))
def test_one_changed_sign_makes_a_token_worthless(position: int, sign: str) -> None:
    token = make_token(SEAL, NEWS)
    changed = token[:position] + sign + token[position + 1 :]

    opened = describe(SEAL, changed)

    assert opened is None or opened == NEWS  # the last sign carries bits that mean nothing


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {Channel.EMAIL: False}),
        ({"marketing": {Channel.SMS: True}}, {Channel.SMS: True, Channel.EMAIL: False}),
        ({"marketing": {Channel.EMAIL: True}}, {Channel.EMAIL: False}),
        ({"marketing": True}, {**dict.fromkeys(Channel, True), Channel.EMAIL: False}),
        ({"marketing": False}, False),
    ],
)
def test_a_refusal_changes_one_category_on_one_channel(before: dict[str, bool], after: object) -> None:
    chosen = Preferences({Channel.SMS: False}, {"orders": True, **before}, QuietHours(time(22), time(7)), False)

    now = refused(chosen, NEWS)

    assert now.categories == {"orders": True, "marketing": after}
    assert (now.channels, now.quiet_hours) == (chosen.channels, chosen.quiet_hours)
    assert refused(now, NEWS) == now


def test_a_cached_recipient_comes_back_whole_but_names_nobody() -> None:
    known = KnownRecipient(
        UUID(int=1),
        "user-42",
        12,
        "fr",
        "Europe/Paris",
        "Ada",
        {Channel.EMAIL: UUID(int=2)},
        Preferences({Channel.SMS: False}, {"a": True, "b": {Channel.EMAIL: False}}, QuietHours(time(22), time(7))),
        frozenset({(Channel.EMAIL, ""), (Channel.SMS, "marketing")}),
    )

    blob = encode(known)

    assert decode(blob) == replace(known, external_id=None, name=None)
    assert b"Ada" not in blob
    assert blob.startswith(b"12:")


def test_bytes_of_another_release_are_no_recipient() -> None:
    assert decode(b"12:\x93\x01\x02\x03") is None
    assert decode(b"garbage") is None


def test_a_cache_key_carries_the_tenant_as_hash_tag_and_nothing_to_read() -> None:
    mine = key(TENANT, Recipient(user="user-42"))

    assert mine.startswith(f"{{t:{TENANT}}}:")
    assert "user-42" not in mine
    assert len({mine, key(uuid4(), Recipient(user="user-42")), key(TENANT, Recipient(email="user-42"))}) == 3
    assert mine == key(TENANT, Recipient(user="user-42", email="new@example.com"))
