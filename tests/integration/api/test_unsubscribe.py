"""Unsubscribe links: looking changes nothing, one click is enough, and any number of clicks is one."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import httpx2
import pytest

from api.app import create_app
from domain.lanes import Channel
from plumbing.cache import Cache
from plumbing.secrets import Seal
from preferences import store, users
from preferences.consent import Subscription, make_token
from preferences.users import Facts
from tests.integration.api.doors import FakeBatcher, KeyRing, make_house

SEAL = Seal("a secret key for tests, 32 bytes long")
ONE_CLICK = {"content-type": "application/x-www-form-urlencoded"}


@dataclass
class Reader:
    """Somebody with an email in hand."""

    client: httpx2.AsyncClient
    token: str
    tenant_id: UUID
    pool: asyncpg.Pool

    async def choice(self) -> object:
        """What is kept of this category."""
        stored = await store.get(self.pool, self.tenant_id, "user-1")
        assert stored is not None
        return stored.preferences.document()["categories"].get("marketing")


@pytest.fixture
async def reader(tenant: UUID, hot_pool: asyncpg.Pool, cache: Cache) -> AsyncIterator[Reader]:
    user, _ = await users.put_user(hot_pool, SEAL, tenant, "user-1", Facts(email="ada@example.org"))
    token = make_token(SEAL, Subscription(tenant, user.id, None, Channel.EMAIL, "marketing"))
    app = create_app(make_house(FakeBatcher(), KeyRing(), seal=SEAL, hot_pool=hot_pool, cache=cache))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://carillon") as client:
        yield Reader(client, token, tenant, hot_pool)


async def test_looking_at_the_page_changes_nothing(reader: Reader) -> None:
    answer = await reader.client.get(f"/u/{reader.token}")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "marketing" in answer.text
    assert await reader.choice() is None


@pytest.mark.parametrize("times", [1, 3])
async def test_one_click_unsubscribes_however_often(reader: Reader, times: int) -> None:
    answers = [
        await reader.client.post(f"/u/{reader.token}", content=b"List-Unsubscribe=One-Click", headers=ONE_CLICK)
        for _ in range(times)
    ]

    assert [answer.status_code for answer in answers] == [200] * times
    assert all("set-cookie" not in answer.headers for answer in answers)
    assert await reader.choice() == {"email": False}


async def test_one_click_as_multipart_unsubscribes(reader: Reader) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=b"}

    answer = await reader.client.post(f"/u/{reader.token}", content=body, headers=headers)

    assert answer.status_code == 200
    assert await reader.choice() == {"email": False}


async def test_the_pages_own_button_unsubscribes(reader: Reader) -> None:
    answer = await reader.client.post(f"/u/{reader.token}", content=b"action=unsubscribe", headers=ONE_CLICK)

    assert answer.status_code == 200
    assert "unsubscribed" in answer.text
    assert await reader.choice() == {"email": False}


async def test_a_post_that_asks_for_nothing_changes_nothing(reader: Reader) -> None:
    answer = await reader.client.post(f"/u/{reader.token}", content=b"a=b", headers=ONE_CLICK)

    assert answer.status_code == 422
    assert await reader.choice() is None


@pytest.mark.parametrize("token", ["x", "%00", "AAAA", "é", "a" * 500])
async def test_a_token_that_is_not_ours_opens_nothing(reader: Reader, token: str) -> None:
    get = await reader.client.get(f"/u/{token}")
    post = await reader.client.post(f"/u/{token}", content=b"List-Unsubscribe=One-Click", headers=ONE_CLICK)

    assert get.status_code in {400, 404}
    assert post.status_code in {400, 404}


async def test_an_altered_token_opens_nothing(reader: Reader) -> None:
    altered = reader.token[:-6] + ("A" if reader.token[-6] != "A" else "B") + reader.token[-5:]

    answer = await reader.client.post(f"/u/{altered}", content=b"List-Unsubscribe=One-Click", headers=ONE_CLICK)

    assert answer.status_code == 404
    assert await reader.choice() is None
