"""Keys: asked for seldom, forgotten soon, and never more allowed than they are."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from api.auth import REMEMBERED_S, Key, Keys, Scope, authenticate
from domain.errors import RequestRefused
from domain.notification import Mode
from plumbing.secrets import hash_api_key, new_api_key

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Stored:
    """One key in a database, and a clock of its own."""

    def __init__(self, **facts: datetime | None) -> None:
        self.secret = new_api_key(Mode.LIVE)
        self.key: Key | None = Key(uuid4(), uuid4(), Mode.LIVE, "cn_live_abcd", frozenset({"read"}), **facts)  # type: ignore[arg-type]  # facts are times only
        self.asked = 0
        self.elapsed_s = 0.0
        self.keys = Keys(self.find, clock=lambda: NOW, timer=lambda: self.elapsed_s)

    async def find(self, secret_hash: bytes) -> Key | None:
        self.asked += 1
        await asyncio.sleep(0)
        return self.key if secret_hash == hash_api_key(self.secret) else None


async def test_a_key_is_asked_for_once_however_many_come() -> None:
    stored = Stored()

    found = await asyncio.gather(*(stored.keys.known(stored.secret) for _ in range(50)))

    assert found == [stored.key] * 50
    assert stored.asked == 1


async def test_a_revoked_key_stops_within_five_seconds() -> None:
    stored = Stored()
    assert await stored.keys.known(stored.secret) is not None

    stored.key = None
    stored.elapsed_s = REMEMBERED_S

    assert await stored.keys.known(stored.secret) is None
    assert REMEMBERED_S <= 5


async def test_an_unknown_key_is_remembered_too() -> None:
    stored = Stored()
    unknown = new_api_key(Mode.LIVE)

    for _ in range(10):
        assert await stored.keys.known(unknown) is None

    assert stored.asked == 1


@pytest.mark.parametrize(
    "facts", [{"revoked_at": NOW - timedelta(days=1)}, {"expires_at": NOW}, {"expires_at": NOW - timedelta(seconds=1)}]
)
async def test_a_key_that_ended_does_not_work(facts: dict[str, datetime]) -> None:
    stored = Stored(**facts)

    assert await stored.keys.known(stored.secret) is None


async def test_a_key_works_until_it_expires() -> None:
    stored = Stored(expires_at=NOW + timedelta(seconds=1))

    assert await stored.keys.known(stored.secret) is not None


@pytest.mark.parametrize("secret", ["", "x", "cn_app_" + "a" * 43, "cn_live_" + "a" * 200, "cn_live_é"])
async def test_what_cannot_be_a_key_is_not_looked_up(secret: str) -> None:
    stored = Stored()

    assert await stored.keys.known(secret) is None
    assert stored.asked == 0


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "cn_live_abc"])
async def test_without_a_key_the_answer_is_401_and_names_the_scheme(header: str | None) -> None:
    with pytest.raises(RequestRefused) as refused:
        await authenticate(Stored().keys, header, Scope.READ)

    assert refused.value.status == 401
    assert refused.value.headers["WWW-Authenticate"].startswith("Bearer")


async def test_without_the_scope_the_answer_is_403_and_names_it() -> None:
    stored = Stored()

    with pytest.raises(RequestRefused) as refused:
        await authenticate(stored.keys, f"Bearer {stored.secret}", Scope.SEND)

    assert refused.value.status == 403
    assert 'scope="send"' in refused.value.headers["WWW-Authenticate"]
