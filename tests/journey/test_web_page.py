"""The sample page in a real browser on the whole platform: a device like any other, over reloads and restarts."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.async_api import Browser, Page, WebSocketRoute, async_playwright, expect

from ops.stack.accounts import data_folder
from ops.stack.seed import BUNDLE
from tests.integration.webclient.conftest import ARGUMENTS
from tests.integration.webclient.pages import an_app_page
from tests.journey.pushes import UNLIMITED, until
from tests.journey.running import Up

WITHIN_S = 60.0
"""Every push comes to its end within this time."""

TOKEN = f"JSON.parse(localStorage['carillon:{BUNDLE}:device']).token"


@pytest.fixture(scope="module")
async def run(server_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Any]]:
    """The whole platform on private servers."""
    output = tmp_path_factory.mktemp("web-page") / "up.txt"
    up = Up.start(data_folder(server_folder / "web-page"), output, stack="auto", more=UNLIMITED)
    yield await asyncio.to_thread(up.await_healthy) | {"folder": up}
    await asyncio.to_thread(up.stop)


@pytest.fixture(scope="module")
async def browser(chromium: Path) -> AsyncIterator[Browser]:
    """A real Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def api(run: dict[str, Any]) -> AsyncIterator[httpx2.AsyncClient]:
    """The API, for the one who sends."""
    headers = {"authorization": f"Bearer {run['api_key']}"}
    async with httpx2.AsyncClient(base_url=run["api_url"], headers=headers, timeout=10) as client:
        yield client


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A window with a profile of its own, in which no script has failed and no rule was broken."""
    async with await browser.new_context() as context:
        page = await context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
        yield page
        assert faults == []


def link(run: dict[str, Any], *, host: str = "127.0.0.1") -> str:
    """What `up` shows: the page, filled in."""
    return f"{run['api_url'].replace('127.0.0.1', host)}/client/#app={BUNDLE}&app_key={run['app_key']}"


async def is_in_state(page: Page, state: str) -> None:
    await expect(page.locator("#state")).to_have_attribute("data-state", state, timeout=WITHIN_S * 1000)


async def send(api: httpx2.AsyncClient, page: Page, title: str) -> str:
    """Send to the device that the page is; the notification's id."""
    wish = {"to": {"device_token": await page.evaluate(TOKEN)}, "channels": ["push"]}
    answer = await api.post("/api/v1/notifications", json=wish | {"content": {"title": title, "body": "B", "push": {}}})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def becomes(api: httpx2.AsyncClient, notification: str, status: str) -> None:
    async def has() -> bool:
        told = (await api.get(f"/api/v1/notifications/{notification}")).json()
        return [delivery["status"] for delivery in told["deliveries"]] == [status]

    assert await until(has, WITHIN_S), f"{notification} did not become {status}"


async def test_the_page_registers_shows_what_is_sent_and_tells_that_it_did(
    run: dict[str, Any], api: httpx2.AsyncClient, page: Page
) -> None:
    await page.goto(link(run))
    await is_in_state(page, "open")
    sent = await send(api, page, "<b>Ding</b>")

    await expect(page.locator(".notification .title")).to_have_text("<b>Ding</b>")  # text, never markup
    await becomes(api, sent, "delivered")
    await expect(page.locator(".is-seen")).to_have_text("seen")
    assert await page.evaluate("location.hash") == ""


async def test_what_was_shown_and_not_acknowledged_comes_again_and_is_not_shown_again(
    run: dict[str, Any], api: httpx2.AsyncClient, page: Page
) -> None:
    lost: list[str | bytes] = []
    loses = True

    def lose_acknowledgements(socket: WebSocketRoute) -> None:
        gateway = socket.connect_to_server()

        def pass_on(message: str | bytes) -> None:
            if loses and '"ack"' in str(message):
                lost.append(message)
            else:
                gateway.send(message)

        socket.on_message(pass_on)

    await page.route_web_socket("**/v1/connect", lose_acknowledgements)
    await page.goto(link(run))
    await is_in_state(page, "open")
    sent = await send(api, page, "Once")
    await expect(page.locator(".notification .title")).to_have_text("Once")
    assert await until(lambda: _is_lost(lost), WITHIN_S)
    loses = False
    await page.reload()
    await is_in_state(page, "open")

    await becomes(api, sent, "delivered")  # it came again, and the page knew it
    assert await page.locator(".notification").count() == 0


async def test_a_gateway_that_starts_anew_finds_the_page_again_with_what_was_kept_for_it(
    run: dict[str, Any], api: httpx2.AsyncClient, page: Page
) -> None:
    await page.goto(link(run))
    await is_in_state(page, "open")
    os.kill(run["folder"].run["pids"]["gateway-1"], signal.SIGTERM)
    await expect(page.locator("#state")).not_to_have_attribute("data-state", "open", timeout=WITHIN_S * 1000)
    sent = await send(api, page, "While you were away")

    await is_in_state(page, "open")
    await expect(page.locator(".notification .title")).to_have_text("While you were away", timeout=WITHIN_S * 1000)
    await becomes(api, sent, "delivered")
    assert await page.locator(".notification").count() == 1


async def test_the_same_page_from_an_origin_that_the_app_does_not_name_is_refused(
    run: dict[str, Any], page: Page
) -> None:
    await page.goto(link(run, host="localhost"))
    await is_in_state(page, "waiting")
    log = await page.locator("#log").text_content() or ""

    assert "(1006)" in log  # all that a browser tells of a handshake that was refused
    assert "Connected" not in log


async def test_a_page_elsewhere_is_a_device_once_the_app_names_its_origin(
    run: dict[str, Any], api: httpx2.AsyncClient, browser: Browser
) -> None:
    async with await browser.new_context() as context, an_app_page(context) as app:
        await app.make(apiUrl=run["api_url"], appKey=run["app_key"], bundleId=BUNDLE)
        refused = await app.page.evaluate("device.connect().catch((error) => error.name)")
        known = (await api.get(f"/api/v1/apps/{BUNDLE}")).json()
        wish = {"web_origins": [*known["web_origins"], app.origin]}
        assert (await api.put(f"/api/v1/apps/{BUNDLE}", json=wish)).status_code == 200

        async def is_registered() -> bool:
            return bool(await app.page.evaluate("device.connect().then(() => true, () => false)"))

        assert await until(is_registered, WITHIN_S)
        await app.reaches("open", within_s=WITHIN_S)

    assert refused == "TypeError"  # all that a browser tells a script of a preflight that was refused


async def _is_lost(lost: list[str | bytes]) -> bool:
    return bool(lost)
