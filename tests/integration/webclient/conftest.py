"""One browser for this folder's tests; each test has a profile of its own, as private windows have."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, async_playwright

from tests.integration.webclient.pages import AppPage, an_app_page
from tests.integration.webclient.scripted import ScriptedGateway, scripted

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="package")
async def browser(chromium: Path) -> AsyncIterator[Browser]:
    """A real Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A profile that has seen nothing yet."""
    async with await browser.new_context() as context:
        yield context


@pytest.fixture
async def app(context: BrowserContext) -> AsyncIterator[AppPage]:
    """A page of an app, with the web client."""
    async with an_app_page(context) as app:
        yield app


@pytest.fixture
async def gateway() -> AsyncIterator[ScriptedGateway]:
    """A gateway under the test's control."""
    async with scripted() as gateway:
        yield gateway


@pytest.fixture
async def second() -> AsyncIterator[ScriptedGateway]:
    """Another one."""
    async with scripted() as gateway:
        yield gateway
