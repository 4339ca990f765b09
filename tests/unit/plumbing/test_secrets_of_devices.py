"""Secrets of devices: tokens hashed with a key, tokens of foreign providers sealed for one tenant."""

from uuid import uuid4

import pytest

from domain.errors import Misconfigured
from domain.push import PushProvider, canonical_token
from plumbing.secrets import Box, Seal, new_app_key, new_device_token

SECRET = "for tests only: thirty-two bytes or more"
OTHER = "for tests only, another: thirty-two bytes or more"


def test_a_token_has_one_hash_under_a_key_and_another_under_another() -> None:
    token = new_device_token()

    assert len(Seal(SECRET).token_hash(token)) == 32
    assert Seal(SECRET).token_hash(token) == Seal(SECRET).token_hash(token)
    assert Seal(SECRET).token_hash(token) != Seal(OTHER).token_hash(token)


def test_a_hexadecimal_token_is_the_same_in_capitals_and_others_are_not() -> None:
    seal = Seal(SECRET)

    assert seal.token_hash("AB" * 32) == seal.token_hash("ab" * 32)
    assert seal.token_hash("fX:A") != seal.token_hash("fx:a")
    assert len(seal.token_hash("\ud800")) == 32


def test_what_is_sealed_can_be_opened_by_its_tenant_and_looks_different_each_time() -> None:
    box, tenant = Box(SECRET), uuid4()

    sealed, again = box.seal(tenant, b"a raw token"), box.seal(tenant, b"a raw token")

    assert box.open(tenant, sealed) == box.open(tenant, again) == b"a raw token"
    assert sealed != again
    assert b"a raw token" not in sealed


def test_another_tenant_another_key_and_altered_bytes_open_nothing() -> None:
    tenant = uuid4()
    sealed = Box(SECRET).seal(tenant, b"a raw token")
    altered = sealed[:-1] + bytes([sealed[-1] ^ 1])

    for box, whose, what in (
        (Box(SECRET), uuid4(), sealed),
        (Box(OTHER), tenant, sealed),
        (Box(SECRET), tenant, altered),
        (Box(SECRET), tenant, sealed[:10]),
        (Box(SECRET), tenant, b""),
    ):
        with pytest.raises(Misconfigured):
            box.open(whose, what)


def test_app_keys_and_minted_tokens_are_not_made_twice() -> None:
    assert len({new_app_key() for _ in range(100)} | {new_device_token() for _ in range(100)}) == 200
    assert new_app_key().startswith("cn_app_")
    assert canonical_token(new_device_token())


@pytest.mark.parametrize("token", ["ab" * 8, "AB" * 32, "0f" * 200])
def test_a_token_is_hexadecimal_of_any_sensible_size(token: str) -> None:
    assert canonical_token(token) == token.lower()


@pytest.mark.parametrize(
    "token", ["", "ab" * 7, "ab" * 201, "a" * 63, "zz" * 32, "ab" * 31 + "a\n", "０" * 64, "ab " * 32]
)
def test_other_texts_are_no_tokens_and_are_not_repeated(token: str) -> None:
    with pytest.raises(ValueError, match="bytes") as refusal:
        canonical_token(token)

    assert len(token) < 3 or token not in str(refusal.value)


def test_tokens_of_other_providers_are_texts_of_theirs() -> None:
    assert canonical_token("fX:APA91_b-z", PushProvider.FCM) == "fX:APA91_b-z"
    for provider, token in ((PushProvider.FCM, ""), (PushProvider.WEB_PUSH, "é"), (PushProvider.APNS, "not hex")):
        with pytest.raises(ValueError, match="must"):
            canonical_token(token, provider)
