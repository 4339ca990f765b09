"""A page of an app in a real browser, with the web client, and a server whose registrar answers as the API does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import BrowserContext, Page

from api.webclient import FOLDER

TOKEN = "5f" * 32
CLIENT = ("/carillon.js", "/memory.js", "/pauses.js", "/registering.js")
_APP = """
import * as client from "/carillon.js";
import { pauseS } from "/pauses.js";
window.pauseS = pauseS;
window.client = client;
window.states = [];
window.shown = [];
window.withdrawn = [];
window.faults = [];
window.make = (options) => {
  const show = (notification) => {
    window.shown.push(notification.id);
    if (notification.payload.fail === "throw") throw new Error("no room");
    if (notification.payload.fail === "reject") return Promise.reject(new Error("no room"));
    if (notification.payload.fail === "decode") throw new client.NotDecodable("gibberish");
  };
  const defaults = { appKey: "cn_app_key", bundleId: "com.example.app", random: () => 0, show };
  window.device = new client.Carillon({ ...defaults, ...options });
  device.addEventListener("state", ({ detail }) => window.states.push(detail));
  device.addEventListener("withdraw", ({ detail }) => window.withdrawn.push(...detail.ids));
  device.addEventListener("fault", ({ detail }) => window.faults.push(detail.error.message));
};
window.isReady = true;
"""
_HTML = '<!doctype html><title>App</title><script type="module" src="/app.js"></script>'


class AppPage:
    """A page with `carillon.js`, and what it asked of the registrar."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.origin = ""
        self.registrations: list[dict[str, Any]] = []
        self.registrar_status = 201
        self.answer: dict[str, Any] = {"device_id": "d-1", "token": TOKEN, "gateways": []}

    async def open(self) -> None:
        """Go there, or there anew."""
        await self.page.goto(f"{self.origin}/")
        await self.page.wait_for_function("window.isReady")

    async def connect(self, *gateways: str, **options: Any) -> None:
        """Make the device and connect it."""
        await self.make(*gateways, **options)
        await self.page.evaluate("device.connect()")

    async def make(self, *gateways: str, **options: Any) -> None:
        """Make the device only."""
        await self.page.evaluate("(options) => make(options)", {"gateways": gateways, **options})

    async def reaches(self, state: str, *, within_s: float = 10) -> dict[str, Any]:
        """Wait until the device is in that state, and answer all that it says of it."""
        await self.page.wait_for_function(
            "(name) => window.device?.state.name === name", arg=state, timeout=within_s * 1000
        )
        told: dict[str, Any] = await self.page.evaluate("device.state")
        return told

    async def states(self) -> list[str]:
        """The states that it went through."""
        return [state["name"] for state in await self.page.evaluate("states")]

    async def shown(self) -> list[str]:
        """The ids that the app was asked to show, since the page was loaded."""
        ids: list[str] = await self.page.evaluate("shown")
        return ids

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        status, kind, answer = self._answer(first.split()[1], headers, body)
        words = (
            f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(answer)}\r\nconnection: close\r\n\r\n"
        )
        writer.write(words.encode() + answer)
        await writer.drain()
        writer.close()

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
        if path == "/":
            return 200, "text/html", _HTML.encode()
        if path == "/app.js":
            return 200, "text/javascript", _APP.encode()
        if path in CLIENT:
            return 200, "text/javascript", (FOLDER / path[1:]).read_bytes()
        if path == "/api/v1/devices/register":
            self.registrations.append({"headers": headers, "body": json.loads(body)})
            return self.registrar_status, "application/json", json.dumps(self.answer).encode()
        return 404, "text/plain", b""


@asynccontextmanager
async def an_app_page(context: BrowserContext) -> AsyncIterator[AppPage]:
    """A page of an app, loaded; its server ends with the block."""
    app = AppPage(await context.new_page())
    server = await asyncio.start_server(app.serve, "127.0.0.1", 0)
    app.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    app.page.set_default_timeout(10_000)
    await app.open()
    yield app
    await app.page.close()
    server.close()
    await server.wait_closed()
