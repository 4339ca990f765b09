"""The web client without a browser: Node 20 and later, with a WebSocket and a storage of the program's own."""

import asyncio
import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from api.webclient import FOLDER
from tests.integration.webclient.pages import CLIENT
from tests.integration.webclient.scripted import ScriptedGateway, notification, until

_PROGRAM = """
import { readFileSync, writeFileSync, existsSync } from "node:fs";
import { Carillon } from "./carillon.js";
const [gateway, file] = process.argv.slice(2);
const kept = existsSync(file) ? JSON.parse(readFileSync(file)) : {};
const keep = () => writeFileSync(file, JSON.stringify(kept));
const storage = {
  getItem: (name) => kept[name] ?? null,
  setItem: (name, value) => { kept[name] = value; keep(); },
  removeItem: (name) => { delete kept[name]; keep(); },
};
const fetch = async () => new Response(JSON.stringify({ device_id: "d-1", token: "5f5f" }), { status: 201 });
const show = ({ id }) => console.log(id);
const device = new Carillon({ appKey: "cn_app_key", bundleId: "b", gateways: [gateway], storage, fetch, show });
await device.connect();
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A program beside a copy of the client."""
    for name in CLIENT:
        shutil.copy(FOLDER / name[1:], tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "program.mjs").write_text(_PROGRAM)
    return tmp_path


async def test_a_program_on_node_is_a_device_that_remembers(folder: Path, gateway: ScriptedGateway) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not on this machine")
    pushed, shown = notification(), []
    for life in (1, 2):
        program = await asyncio.create_subprocess_exec(
            *("node", "--experimental-websocket", "program.mjs", gateway.url, "kept.json"),
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await until(partial(_has, gateway, "hello", life), "hello")
            await gateway.say(pushed)
            await until(partial(_has, gateway, "ack", life), "acknowledged")
        finally:
            program.kill()
            said, _ = await program.communicate()
        shown += said.decode().split()

    assert shown == [pushed["id"]]
    assert gateway.acked() == [(pushed["id"], 100)] * 2
    assert [hello["last_seen"] for hello in gateway.frames("hello")] == [None, pushed["id"]]
    assert json.loads((folder / "kept.json").read_text()).keys() == {"carillon:b:device", "carillon:b:shown"}


def _has(gateway: ScriptedGateway, kind: str, count: int) -> bool:
    return len(gateway.frames(kind)) == count
