"""What the rooms say to a worker: a stale judgement made again, words with their link, a dead address suppressed."""

from datetime import time
from uuid import UUID

import asyncpg
import pytest

from domain.clock import utc_now
from domain.content import EmailContent, SmsContent
from domain.delivery import DeliveryStatus
from domain.errors import Permanent
from domain.lanes import Channel
from domain.notification import Mode
from domain.reasons import Reason
from plumbing.cache import Cache
from plumbing.secrets import Seal
from preferences import consent, store
from preferences.categories import Categories
from preferences.model import Preferences
from templates.catalog import SHIPPED, Catalog
from tests.integration.tracking.builders import Person, person, recorded, records, status_of
from tracking.claim import Claimed, claim
from workers.judging import Judge
from workers.policies import Policies
from workers.suppressing import Suppressor
from workers.words import Composer

SEAL = Seal("a-secret-only-for-tests-0123456789abcdef")
PUBLIC_URL = "https://example.org"


async def choose(pool: asyncpg.Pool, who: Person, document: dict[str, object]) -> None:
    """Write preferences as somebody did after accept."""
    author = store.Author("recipient", "page")
    await store.put(pool, who.tenant_id, f"user-{who.user_id}", Preferences.parse(document), author=author)


async def judged(pool: asyncpg.Pool, one: UUID) -> tuple[set[UUID], DeliveryStatus, Reason | None]:
    """Claim, find it stale, judge again: what passed, and where the delivery stands."""
    answer = await claim(pool, [one], lease_s=5)
    assert [stale.id for stale in answer.stale] == [one]
    passed = await Judge(pool, Categories())(answer.stale)
    reason = await pool.fetchval("SELECT reason FROM deliveries WHERE id = $1", one)
    return passed, await status_of(pool, one), Reason.of(reason) if reason is not None else None


async def test_an_opt_out_after_accept_suppresses_what_waits(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    who = await person(hot_pool, tenant)
    [one] = await recorded(hot_pool, records(who))
    await choose(hot_pool, who, {"channels": {"email": False}})

    passed, status, reason = await judged(hot_pool, one)

    assert (passed, status, reason) == (set(), DeliveryStatus.SUPPRESSED, Reason.CHANNEL_OPT_OUT)


async def test_quiet_hours_that_began_meanwhile_defer_what_waits(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    who = await person(hot_pool, tenant)
    now = utc_now()
    [one] = await recorded(hot_pool, records(who, expires_in_s=3 * 86_400))
    start, end = time((now.hour - 1) % 24), time((now.hour + 2) % 24)
    await choose(
        hot_pool,
        who,
        {"quiet_hours": {"start": f"{start:%H:%M}", "end": f"{end:%H:%M}", "timezone": "UTC", "mode": "defer"}},
    )

    passed, status, reason = await judged(hot_pool, one)

    assert (passed, status, reason) == (set(), DeliveryStatus.DEFERRED, Reason.QUIET_HOURS)


async def test_a_change_that_forbids_nothing_lets_it_pass(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    who = await person(hot_pool, tenant)
    [one] = await recorded(hot_pool, records(who))
    await choose(hot_pool, who, {"channels": {"sms": False}})

    passed, _, _ = await judged(hot_pool, one)

    assert passed == {one}
    assert [claimed.id for claimed in (await claim(hot_pool, [one], lease_s=5)).claimed] == [one]


async def test_an_erased_recipient_is_not_written_to(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    who = await person(hot_pool, tenant)
    [one] = await recorded(hot_pool, records(who))
    await hot_pool.execute("DELETE FROM users WHERE id = $1", who.user_id)

    passed, status, reason = await judged(hot_pool, one)

    assert (passed, status, reason) == (set(), DeliveryStatus.SUPPRESSED, Reason.RECIPIENT_ERASED)


async def claimed_with(
    pool: asyncpg.Pool, tenant: UUID, *, content: bytes, category: str = "orders", channel: Channel = Channel.EMAIL
) -> Claimed:
    """A claimed delivery of words that came with the request."""
    made = records(await person(pool, tenant), category=category, channels=(channel,))
    ids = await recorded(pool, made)
    await pool.execute(
        "UPDATE notifications SET template = NULL, data = $2 WHERE id = $1", made.notifications[0].id, content
    )
    [claimed] = (await claim(pool, ids, lease_s=5)).claimed
    return claimed


@pytest.fixture
def composer(hot_pool: asyncpg.Pool) -> Composer:
    return Composer(hot_pool, catalog=Catalog([SHIPPED]), categories=Categories(), seal=SEAL, public_url=PUBLIC_URL)


async def test_an_email_carries_a_link_by_which_its_category_is_unsubscribed(
    hot_pool: asyncpg.Pool, tenant: UUID, composer: Composer
) -> None:
    claimed = await claimed_with(hot_pool, tenant, content=b'{"title":"Hello","body":"Text"}')

    outgoing = await composer(claimed)

    assert isinstance(outgoing.content, EmailContent)
    assert (outgoing.content.subject, outgoing.content.text, outgoing.address) == ("Hello", "Text", claimed.address)
    assert outgoing.content.unsubscribe_url is not None
    subscription = consent.describe(SEAL, outgoing.content.unsubscribe_url.removeprefix(f"{PUBLIC_URL}/u/"))
    assert subscription is not None
    assert (subscription.user_id, subscription.category) == (claimed.user_id, "orders")


async def test_what_is_required_has_no_link_and_neither_has_an_sms(
    hot_pool: asyncpg.Pool, tenant: UUID, composer: Composer
) -> None:
    content = b'{"title":"Code","body":"1234"}'
    required = await composer(await claimed_with(hot_pool, tenant, content=content, category="security"))
    sms = await composer(await claimed_with(hot_pool, tenant, content=content, channel=Channel.SMS))

    assert isinstance(required.content, EmailContent)
    assert required.content.unsubscribe_url is None
    assert sms.content == SmsContent("1234")


async def test_a_template_that_is_gone_fails_for_good(hot_pool: asyncpg.Pool, tenant: UUID, composer: Composer) -> None:
    claimed = await claimed_with(hot_pool, tenant, content=b"{}")
    claimed.template = "no_such_message"

    with pytest.raises(Permanent, match="no_such_message"):
        await composer(claimed)


async def test_a_dead_address_is_suppressed_but_not_for_a_test_key(
    hot_pool: asyncpg.Pool, tenant: UUID, cache: Cache
) -> None:
    suppress = Suppressor(hot_pool, cache)
    live, tested = [await claimed_with(hot_pool, tenant, content=b'{"title":"x"}') for _ in range(2)]
    tested.mode = Mode.TEST

    await suppress(live)
    await suppress(tested)

    rows = await hot_pool.fetch("SELECT reason, category FROM suppressions WHERE tenant_id = $1", tenant)
    assert [tuple(row) for row in rows] == [("bounce", "")]
    assert await hot_pool.fetchval("SELECT version FROM users WHERE id = $1", live.user_id) == 2


async def test_a_category_that_is_gone_is_held(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    policies = Policies(hot_pool, Categories())

    assert await policies.of(tenant, "orders") == "retry"
    assert await policies.of(tenant, "marketing") == "hold"
    assert await policies.of(tenant, "no_such_category") == "hold"
