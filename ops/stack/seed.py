"""What a fresh local platform holds, so that the first send works: a tenant, its keys, and somebody to write to."""

from domain.notification import Mode
from ops.stack.database import connected
from ops.stack.home import Keys
from ops.stack.tenants import create_tenant, store_key
from plumbing.secrets import Seal

TENANT = "local"
USER = "user-42"
EMAIL = "ok@example.com"
PHONE = "+14155550100"
BUNDLE = "com.example.demo"


async def seed(url: str, keys: Keys, *, secret_key: str, page: str) -> str:
    """Make tenant, live and test key, demo user and demo app where they are missing; what is there stays as it is.

    The app's publishable key. `page`: the origin of the API's sample page, which may be a device of that app.
    """
    from channels.push.apps import AppFacts, find_app, put_app  # lazy, with what follows: `--help` must stay quick
    from channels.push.origins import add_origin
    from domain.notification import Recipient
    from preferences.contacts import put_recipients

    async with connected(url) as conn, conn.transaction():
        tenant = await create_tenant(conn, TENANT)
        await store_key(conn, tenant, key=keys.api_key, name="local", mode=Mode.LIVE)
        await store_key(conn, tenant, key=keys.test_key, name="local test", mode=Mode.TEST)
        known = await conn.fetchval("SELECT 1 FROM users WHERE tenant_id = $1 AND external_id = $2", tenant, USER)
        if known is None:
            demo = Recipient(user=USER, email=EMAIL, phone=PHONE, name="Robin", locale="en")
            await put_recipients(conn, Seal(secret_key), tenant, [demo])
        app = await find_app(conn, tenant, BUNDLE) or (await put_app(conn, tenant, BUNDLE, AppFacts()))[0]
        await add_origin(conn, app.id, page)
        return app.app_key
