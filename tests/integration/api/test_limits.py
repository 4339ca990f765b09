"""The limit of a key: what is left is told, what is too much is refused, and a time to come back is named."""

from uuid import uuid4

import pytest

from api.auth import Key
from api.limits import KeyLimits
from domain.errors import RequestRefused
from domain.notification import Mode
from plumbing.cache import Cache
from plumbing.limiter import Limiter
from plumbing.settings import Settings

SETTINGS = Settings(_env_file=None, key_limit_per_s=1, key_limit_burst=3)


def key() -> Key:
    """A key that spent nothing yet."""
    return Key(uuid4(), uuid4(), Mode.LIVE, "cn_live_abcd", frozenset({"read"}))


async def test_what_is_left_is_told_until_nothing_is(cache: Cache) -> None:
    limits, mine = KeyLimits(Limiter(cache), SETTINGS), key()

    told = [await limits.spend(mine) for _ in range(3)]
    with pytest.raises(RequestRefused) as refused:
        await limits.spend(mine)

    assert [each["RateLimit"].split(";")[1] for each in told] == ["r=2", "r=1", "r=0"]
    assert told[0]["RateLimit-Policy"] == '"key";q=3;w=3'
    assert refused.value.status == 429
    assert refused.value.retry_after_s == 1
    assert refused.value.headers["RateLimit"].startswith('"key";r=0')


async def test_one_key_does_not_spend_anothers(cache: Cache) -> None:
    limits, mine = KeyLimits(Limiter(cache), SETTINGS), key()
    for _ in range(3):
        await limits.spend(mine)

    assert (await limits.spend(key()))["RateLimit"].startswith('"key";r=2')
