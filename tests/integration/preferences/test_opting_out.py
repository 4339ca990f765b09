"""Opting out by every way: documents, links and suppressions; each raises the version, and nobody misses it."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from domain.clock import utc_now
from domain.errors import RequestRefused
from domain.lanes import Channel
from domain.notification import Recipient
from plumbing.secrets import Seal
from preferences import consent, store, suppressions
from preferences.cache import key, user_key
from preferences.consent import Subscription
from preferences.model import Preferences
from preferences.store import Author
from preferences.suppressions import SuppressionReason
from tests.integration.preferences.people import known

API = Author("cn_live_abc", "api", {"request": "r-1"})
STRANGER = Recipient(email="stranger@example.com")


async def test_a_written_document_is_read_back_with_its_history(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID, ada: Recipient
) -> None:
    chosen = Preferences({Channel.SMS: False}, {"marketing": {Channel.EMAIL: True}})

    written = await store.put(hot_pool, tenant, "ada", chosen, author=API)

    assert written is not None
    assert written.version == 2
    assert await store.get(hot_pool, tenant, "ada") == written
    [change] = await store.history(hot_pool, tenant, "ada", limit=10)
    assert (change.version, change.actor, change.source, change.evidence) == (
        2,
        "cn_live_abc",
        "api",
        {"request": "r-1"},
    )
    assert change.document == chosen.document()
    seen = await known(hot_pool, seal, tenant, ada)
    assert (seen.version, seen.preferences) == (2, chosen)


async def test_the_same_document_again_writes_nothing(hot_pool: asyncpg.Pool, tenant: UUID, ada: Recipient) -> None:
    chosen = Preferences(unsubscribed=True)
    first = await store.put(hot_pool, tenant, "ada", chosen, author=API)

    second = await store.put(hot_pool, tenant, "ada", chosen, author=API)

    assert first == second
    assert len(await store.history(hot_pool, tenant, "ada", limit=10)) == 1


async def test_a_patch_changes_what_it_names_and_null_forgets(
    hot_pool: asyncpg.Pool, tenant: UUID, ada: Recipient
) -> None:
    document = {
        "channels": {"email": True, "sms": False},
        "categories": {"orders": True},
        "quiet_hours": {"start": "22:00", "end": "07:00"},
    }
    await store.put(hot_pool, tenant, "ada", Preferences.parse(document), author=API)

    patched = await store.patch(
        hot_pool,
        tenant,
        "ada",
        {"channels": {"sms": None}, "quiet_hours": {"end": "08:00"}, "categories": {"news": {"sms": False}}},
        author=API,
    )

    assert patched is not None
    assert patched.preferences.document() == {
        "channels": {"email": True},
        "categories": {"orders": True, "news": {"sms": False}},
        "quiet_hours": {"start": "22:00", "end": "08:00", "timezone": None, "mode": "defer"},
        "unsubscribed": False,
    }


async def test_a_patch_that_makes_no_sense_leaves_everything_as_it_was(
    hot_pool: asyncpg.Pool, tenant: UUID, ada: Recipient
) -> None:
    with pytest.raises(RequestRefused):
        await store.patch(hot_pool, tenant, "ada", {"quiet_hours": {"start": "9"}}, author=API)

    stored = await store.get(hot_pool, tenant, "ada")
    assert stored is not None
    assert (stored.version, stored.updated_at) == (1, None)


async def test_patches_at_the_same_moment_all_count(hot_pool: asyncpg.Pool, tenant: UUID, ada: Recipient) -> None:
    await asyncio.gather(
        *(store.patch(hot_pool, tenant, "ada", {"categories": {f"c-{n}": False}}, author=API) for n in range(8))
    )

    stored = await store.get(hot_pool, tenant, "ada")
    assert stored is not None
    assert len(stored.preferences.categories) == 8
    assert [change.version for change in await store.history(hot_pool, tenant, "ada", limit=3)] == [9, 8, 7]
    assert [c.version for c in await store.history(hot_pool, tenant, "ada", limit=3, before_version=7)] == [6, 5, 4]


async def test_an_unknown_user_has_no_preferences(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    assert await store.get(hot_pool, tenant, "nobody") is None
    assert await store.put(hot_pool, tenant, "nobody", Preferences(), author=API) is None


async def test_a_users_link_refuses_one_category_on_one_channel_once(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID, ada: Recipient
) -> None:
    user = await known(hot_pool, seal, tenant, ada)
    token = consent.make_token(seal, Subscription(tenant, user.user_id, None, Channel.EMAIL, "marketing"))

    first = await consent.unsubscribe(hot_pool, seal, token, evidence={"from": "test"})
    second = await consent.unsubscribe(hot_pool, seal, token, evidence={"from": "test"})

    assert first == second
    assert first is not None
    assert first.stale_keys == (user_key(tenant, "ada"),)
    [change] = await store.history(hot_pool, tenant, "ada", limit=10)
    assert (change.actor, change.source) == ("recipient", "one_click")
    after = await known(hot_pool, seal, tenant, ada)
    assert after.preferences.categories == {"marketing": {Channel.EMAIL: False}}
    assert after.version == user.version + 1


async def test_a_strangers_link_suppresses_that_category_at_that_address(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID
) -> None:
    before = await known(hot_pool, seal, tenant, STRANGER)
    contact = before.contacts[Channel.EMAIL]
    token = consent.make_token(seal, Subscription(tenant, None, contact, Channel.EMAIL, "marketing"))

    done = await consent.unsubscribe(hot_pool, seal, token, evidence={})

    assert done is not None
    assert done.stale_keys == (key(tenant, STRANGER),)
    after = await known(hot_pool, seal, tenant, STRANGER)
    assert after.suppressed == {(Channel.EMAIL, "marketing")}
    assert after.version > before.version


async def test_forged_tokens_and_those_of_erased_people_change_nothing(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID
) -> None:
    erased = consent.make_token(seal, Subscription(tenant, uuid4(), None, Channel.EMAIL, "marketing"))

    assert await consent.unsubscribe(hot_pool, seal, "x" + erased[1:], evidence={}) is None
    done = await consent.unsubscribe(hot_pool, seal, erased, evidence={})
    assert done is not None
    assert done.stale_keys == ()


async def test_a_token_reaches_nobody_of_another_tenant(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID, ada: Recipient
) -> None:
    user = await known(hot_pool, seal, tenant, ada)
    token = consent.make_token(seal, Subscription(uuid4(), user.user_id, None, Channel.EMAIL, "marketing"))

    await consent.unsubscribe(hot_pool, seal, token, evidence={})

    assert await known(hot_pool, seal, tenant, ada) == user


async def test_a_suppressed_address_is_so_for_users_and_strangers_alike(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID, ada: Recipient
) -> None:
    alone = Recipient(email="ada@example.com")
    before = [await known(hot_pool, seal, tenant, who) for who in (ada, alone)]

    row, stale = await suppressions.add(
        hot_pool,
        seal,
        tenant,
        channel=Channel.EMAIL,
        address="ada@example.com",
        reason=SuppressionReason.MANUAL,
        source="api",
    )

    after = [await known(hot_pool, seal, tenant, who) for who in (ada, alone)]
    assert [who.suppressed for who in after] == [{(Channel.EMAIL, "")}] * 2
    assert [now.version - then.version for now, then in zip(after, before, strict=True)] == [1, 1]
    assert set(stale) == {user_key(tenant, "ada"), key(tenant, alone)}
    assert await suppressions.list_page(hot_pool, tenant, limit=10) == [row]


async def test_a_lifted_suppression_raises_the_version_again(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID, ada: Recipient
) -> None:
    user = await known(hot_pool, seal, tenant, ada)
    await suppressions.add_for_contacts(
        hot_pool, tenant, list(user.contacts.values()), reason=SuppressionReason.BOUNCE, source="smtp"
    )
    [first, second] = await suppressions.list_page(hot_pool, tenant, limit=10)

    stale = [await suppressions.remove(hot_pool, tenant, row.id) for row in (first, second)]

    assert stale == [[user_key(tenant, "ada")]] * 2
    after = await known(hot_pool, seal, tenant, ada)
    assert (after.suppressed, after.version) == (frozenset(), user.version + 3)
    assert await suppressions.remove(hot_pool, tenant, first.id) is None


async def test_only_unsubscribing_from_all_leaves_required_messages_through(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID
) -> None:
    reasons = {"a@example.com": SuppressionReason.UNSUBSCRIBE, "b@example.com": SuppressionReason.STOP}
    for address, reason in reasons.items():
        await suppressions.add(
            hot_pool, seal, tenant, channel=Channel.EMAIL, address=address, reason=reason, source="api"
        )

    marks = [(await known(hot_pool, seal, tenant, Recipient(email=address))).suppressed for address in reasons]

    assert marks == [{(Channel.EMAIL, "*")}, {(Channel.EMAIL, "")}]


async def test_a_bounce_is_not_weakened_by_an_unsubscription_after_it(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID
) -> None:
    for reason in (SuppressionReason.BOUNCE, SuppressionReason.UNSUBSCRIBE):
        row, _ = await suppressions.add(
            hot_pool, seal, tenant, channel=Channel.EMAIL, address="c@example.com", reason=reason, source="api"
        )

    assert row.reason is SuppressionReason.BOUNCE
    assert len(await suppressions.list_page(hot_pool, tenant, limit=10)) == 1


async def test_a_suppression_ends_at_its_time(hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID) -> None:
    for address, hours in (("past@example.com", -1), ("future@example.com", 1)):
        await suppressions.add(
            hot_pool,
            seal,
            tenant,
            channel=Channel.EMAIL,
            address=address,
            reason=SuppressionReason.MANUAL,
            source="api",
            expires_at=utc_now() + timedelta(hours=hours),
        )

    past = await known(hot_pool, seal, tenant, Recipient(email="past@example.com"))
    future = await known(hot_pool, seal, tenant, Recipient(email="future@example.com"))

    assert not past.suppressed
    assert future.suppressed == {(Channel.EMAIL, "")}


async def test_pages_of_suppressions_follow_one_another_and_keep_to_their_tenant(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID
) -> None:
    for n in range(5):
        await suppressions.add(
            hot_pool,
            seal,
            tenant,
            channel=Channel.EMAIL,
            address=f"p-{n}@example.com",
            reason=SuppressionReason.MANUAL,
            source="api",
        )

    first = await suppressions.list_page(hot_pool, tenant, limit=3)
    rest = await suppressions.list_page(hot_pool, tenant, limit=3, after=first[-1].id)

    assert len({row.id for row in (*first, *rest)}) == 5
    assert await suppressions.list_page(hot_pool, tenant, limit=3, channel=Channel.SMS) == []
    assert await suppressions.list_page(hot_pool, uuid4(), limit=3) == []
    assert await suppressions.remove(hot_pool, uuid4(), first[0].id) is None
