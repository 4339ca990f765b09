"""The whole platform on private servers, with a wire that can be troubled before each server and provider."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from ops.chaos.proxy import FaultProxy, fault_proxy
from ops.stack.accounts import data_folder
from ops.stack.home import Run
from ops.stack.parts import StackChoice
from ops.stack.platform import CERTIFICATES, Platform, running
from ops.stack.ports import free_port
from plumbing.failpoints import FOLDER_VARIABLE
from plumbing.settings import Settings

UNLIMITED = {
    "CARILLON_KEY_LIMIT_PER_S": "1000000",
    "CARILLON_KEY_LIMIT_BURST": "1000000",
    "CARILLON_USER_LIMIT_PER_HOUR": "1000000",
    "CARILLON_USER_LIMIT_BURST": "1000000",
}
"""People get more in a run than they want to have."""

_OUR_OWN = ("database_url", "redis_url", "amqp_url", "smtp_url", "sms_url", "door_certificate", "door_private_key")
"""Whatever is set from outside leads somewhere else, where nobody wants a fault."""

_RESTART_WITHIN_S = 1.0


class Wire(StrEnum):
    """The wires between roles and what they stand on; the value ends the name of the setting that leads there."""

    POSTGRES = "DATABASE_URL"
    REDIS = "REDIS_URL"
    RABBITMQ = "AMQP_URL"
    SMTP = "SMTP_URL"
    SMS = "SMS_URL"

    @property
    def variable(self) -> str:
        """The setting that tells a role where to go."""
        return f"CARILLON_{self.value}"


@dataclass(slots=True)
class Stage:
    """A platform that runs, its wires, and what the supervisor said. The checker itself goes round the wires."""

    folder: Path
    platform: Platform
    wires: dict[Wire, FaultProxy] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    @property
    def run(self) -> Run:
        """What run.json says."""
        if self.platform.run is None:
            raise RuntimeError("`running` opens only when everything is healthy")
        return self.platform.run

    @property
    def pids(self) -> dict[str, int]:
        """Everything that runs, by name: api-1, worker-1, gateway-1, scheduler-1, door-1, postgres, redis, rabbitmq…"""
        return self.platform.supervisor.pids

    @property
    def failpoints(self) -> Path:
        """The folder in which failpoints are armed."""
        return self.folder / "failpoints"

    @property
    def ledger(self) -> Path:
        """What the simulated providers took."""
        if self.run.simulated is None:
            raise RuntimeError("a stage has simulated providers")
        return Path(self.run.simulated["ledger"])

    @property
    def authority(self) -> Path:
        """Who signed the provider door's certificate."""
        return self.folder / CERTIFICATES / "door-ca.pem"

    def last_words(self, count: int = 40) -> str:
        """The end of what the supervisor said: who died, who came back, what the roles logged as errors."""
        return "\n".join(self.said[-count:])


@asynccontextmanager
async def a_stage(
    chosen: Settings,
    *,
    stack: StackChoice = StackChoice.AUTO,
    told: Mapping[str, str] | None = None,
    messages: Mapping[str, Mapping[str, str]] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[Stage]:
    """Start everything in a folder that is gone afterwards. `told`: settings of the roles, as environment variables.

    `messages`: templates beside the shipped ones, the words of each file by its name. Real servers where this machine
    has them, else embedded ones. Raises Misconfigured (NotStarted among them).
    """
    folder = data_folder(Path(tempfile.mkdtemp(prefix="carillon-chaos-")))
    (folder / "failpoints").mkdir()
    _write_messages(folder / "messages", messages or {})
    said: list[str] = []

    def listen(words: str) -> None:
        said.append(words)
        say(words)

    ours = {
        **UNLIMITED,
        FOLDER_VARIABLE: str(folder / "failpoints"),
        "CARILLON_TEMPLATE_PATH": str(folder / "messages"),
        "CARILLON_WEBHOOK_HOSTS": "localhost",
        **(told or {}),
    }
    wires: dict[Wire, FaultProxy] = {}
    async with AsyncExitStack() as until_the_end:
        until_the_end.callback(shutil.rmtree, folder, ignore_errors=True)
        until_the_end.callback(_restore, {name: os.environ.get(name) for name in ours})
        os.environ.update(ours)
        open_wires = await until_the_end.enter_async_context(AsyncExitStack())

        async def through_wires(env: dict[str, str]) -> dict[str, str]:
            led = dict(env)
            for wire in Wire:
                parts = urlsplit(env[wire.variable])
                wires[wire] = await open_wires.enter_async_context(
                    fault_proxy(parts.hostname or "127.0.0.1", parts.port or 0)
                )
                netloc = f"{parts.netloc.rpartition(':')[0]}:{wires[wire].port}"
                led[wire.variable] = parts._replace(netloc=netloc).geturl()
            return led

        settings = chosen.model_copy(
            update={
                **dict.fromkeys(_OUR_OWN),
                "data_path": folder,
                "gateway_port": free_port(),
                "door_port": free_port(),
            }
        )
        opened = running(settings, choice=stack, port=free_port(), say=listen, detour=through_wires)
        platform = await until_the_end.enter_async_context(opened)
        platform.supervisor.longest_backoff_s = _RESTART_WITHIN_S
        yield Stage(folder, platform, wires, said)


def _write_messages(folder: Path, messages: Mapping[str, Mapping[str, str]]) -> None:
    folder.mkdir()
    for message, files in messages.items():
        (folder / message).mkdir()
        for name, text in files.items():
            (folder / message / name).write_text(text)


def _restore(before: Mapping[str, str | None]) -> None:
    for name, text in before.items():
        if text is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = text
