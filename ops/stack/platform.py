"""The whole platform on this machine as one context: stack, schema, seed, roles; when it opens, all is healthy."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from pydantic import SecretStr

from domain.errors import CarillonError, Misconfigured
from ops.stack.certificate import development_certificate
from ops.stack.choice import choose, prepare
from ops.stack.database import connected, create_database, migrate, sibling_url
from ops.stack.home import Home, Keys, Run
from ops.stack.logs import Follower, as_error
from ops.stack.parts import Part, StackChoice, Way
from ops.stack.ports import is_free, prefer
from ops.stack.reach import check_url
from ops.stack.roles import Doors, all_roles, choose_doors, second_role, simulated_role
from ops.stack.seed import seed
from ops.stack.server import Server
from ops.stack.supervisor import Stage, Supervisor
from plumbing.settings import Settings

_DATABASE = "carillon"
_USUAL_PORT = 8000
_NEEDED_BYTES = 256 * 1024 * 1024
_ECHO_S = 0.3
Detour = Callable[[dict[str, str]], Awaitable[dict[str, str]]]
"""Given what the roles are told (their settings as environment variables), what they are told instead."""

CERTIFICATES = "certificates"
"""Folder in the data folder: the development certificate of the provider door, and the authority that signed it."""


class AlreadyRunning(Exception):
    """Another `up` has this folder; `run` tells where it is, or is None while it still starts."""

    def __init__(self, run: Run | None) -> None:
        super().__init__("another `carillon up` runs here")
        self.run = run


@dataclass(slots=True)
class Platform:
    """What runs. `run` is what .data/run.json says; `servers` tell how each part was had."""

    home: Home
    keys: Keys
    supervisor: Supervisor
    say: Callable[[str], None]
    doors: Doors
    servers: dict[Part, Server] = field(default_factory=dict)
    app_key: str | None = None
    told: dict[str, str] = field(default_factory=dict)
    """What the roles were told, as environment variables."""
    run: Run | None = None

    async def double(self, role: str) -> str:
        """Start a second process of that role, and wait until it is ready; its name."""
        unit = second_role(role, self.home, self.told, self.doors)
        await self.supervisor.start(unit, Stage.ROLES, within_s=30.0)
        self.write_run()
        return unit.label

    def write_run(self) -> None:
        """Tell the world, with the pids of this moment."""
        if self.run is not None:
            self.run.pids = {"up": os.getpid(), **self.supervisor.pids}
            self.home.write_run(self.run)


@asynccontextmanager
async def running(
    settings: Settings,
    *,
    choice: StackChoice,
    port: int | None,
    say: Callable[[str], None],
    detour: Detour | None = None,
) -> AsyncIterator[Platform]:
    """Start everything, keep it running, and stop it all at the end. `detour`: where roles look for servers instead.

    Raises AlreadyRunning, or Misconfigured (NotStarted among them) with one clear line; nothing is left running then.
    """
    home = Home(settings.data_path.absolute())
    home.open()
    lock = home.claim()
    if lock is None:
        raise AlreadyRunning(home.read_run())
    home.forget_run()
    _need_room(home)
    doors = choose_doors(settings, _api_port(settings, port, say))
    platform = Platform(home, home.keys(), Supervisor(say), say, doors)
    platform.supervisor.on_change = platform.write_run
    platform.supervisor.open()
    watching: list[asyncio.Task[None]] = []
    try:
        await _start(platform, settings, choice=choice, detour=detour)
        platform.write_run()
        watching = [asyncio.create_task(platform.supervisor.watch()), asyncio.create_task(_echo_errors(platform))]
        yield platform
    finally:
        home.forget_run()
        for task in watching:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await platform.supervisor.stop()
        platform.supervisor.close()
        os.close(lock)


async def _start(platform: Platform, settings: Settings, *, choice: StackChoice, detour: Detour | None) -> None:
    doors = platform.doors
    urls = {
        Part.POSTGRES: _text(settings.database_url),
        Part.REDIS: _text(settings.redis_url),
        Part.RABBITMQ: _text(settings.amqp_url),
    }
    ways = choose(choice, urls)
    secret_key = _text(settings.secret_key) or platform.keys.secret_key
    env = _own_settings(platform, settings)
    is_simulated = not (_text(settings.smtp_url) and _text(settings.sms_url))
    simulated, where = simulated_role(platform.home, env)
    try:
        async with asyncio.TaskGroup() as group:
            for part in Part:
                group.create_task(
                    _start_part(platform, part, ways[part], url=urls[part], secret_key=secret_key, page=doors.api_url)
                )
            if is_simulated:
                group.create_task(platform.supervisor.start(simulated, Stage.AROUND))
        stack = await _open_stack(platform)
        env |= stack
        env.setdefault("CARILLON_SMTP_URL", _text(settings.smtp_url) or where["smtp_url"])
        env.setdefault("CARILLON_SMS_URL", _text(settings.sms_url) or where["sms_url"])
        if detour is not None:
            env = await detour(env)
        platform.told = env
        async with asyncio.TaskGroup() as group:
            for role in all_roles(platform.home, env, doors):
                group.create_task(platform.supervisor.start(role, Stage.ROLES, within_s=30.0))
    except BaseExceptionGroup as errors:
        raise _first_of(errors) from None
    platform.run = Run(
        api_url=doors.api_url,
        gateway_url=doors.gateway_url,
        provider_url=doors.provider_url,
        metrics_urls=doors.metrics_urls,
        api_key=platform.keys.api_key,
        test_key=platform.keys.test_key,
        app_key=platform.app_key,
        stack={part.value: platform.servers[part].way.value for part in Part},
        database_url=stack["CARILLON_DATABASE_URL"],
        redis_url=stack["CARILLON_REDIS_URL"],
        amqp_url=stack["CARILLON_AMQP_URL"],
        simulated=where if is_simulated else None,
    )


def _first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first failure of several at once, ours before others': the rest is mostly its consequence."""
    ours, others = errors.split(CarillonError)
    first: BaseException = (ours or others or errors).exceptions[0]
    return first


async def _start_part(platform: Platform, part: Part, way: Way, *, url: str | None, secret_key: str, page: str) -> None:
    """One server, ready to be used; PostgreSQL with the newest schema and the seed. `page`: origin of ours."""
    home, keys = platform.home, platform.keys
    passwords = {
        Part.POSTGRES: keys.postgres_password,
        Part.REDIS: keys.redis_password,
        Part.RABBITMQ: keys.rabbitmq_password,
    }
    server = await asyncio.to_thread(prepare, part, way, home.folder, url=url, password=passwords[part])
    platform.servers[part] = server
    if way is Way.URL:
        await check_url(part, server.url)
    else:
        stage = Stage.TRUTH if part is Part.POSTGRES else Stage.AROUND
        forgets = part is Part.RABBITMQ and way is Way.EMBEDDED
        after = (lambda: _republish(platform)) if forgets else None
        await platform.supervisor.start(server, stage, after_restart=after)
        if part is Part.POSTGRES:
            await create_database(server.url, _DATABASE)
            server.url = sibling_url(server.url, _DATABASE)
    if part is Part.POSTGRES:
        await migrate(server.url)
        platform.app_key = await seed(server.url, keys, secret_key=secret_key, page=page)


async def _open_stack(platform: Platform) -> dict[str, str]:
    """The three URLs as settings; a broker without memory is told everything again."""
    if platform.servers[Part.RABBITMQ].way is Way.EMBEDDED:
        await _republish(platform)
    return {part.variable: server.url for part, server in platform.servers.items()}


async def _republish(platform: Platform) -> None:
    from tracking.outbox import republish_all  # lazy: it brings asyncpg and the tables, needed by embedded brokers only

    async with connected(platform.servers[Part.POSTGRES].url) as conn:
        count = await republish_all(conn)
    if count:
        platform.say(f"the broker forgot; {count} envelopes will be published again")


def _own_settings(platform: Platform, settings: Settings) -> dict[str, str]:
    """What `up` decides for the roles; what was set from outside stays."""
    keys = platform.keys
    certificate, private_key = settings.door_certificate, settings.door_private_key
    if certificate is None or private_key is None:
        certificate, private_key, _ = development_certificate(platform.home.folder / CERTIFICATES)
    is_public_default = settings.public_url == Settings.model_fields["public_url"].default
    return {
        "CARILLON_SECRET_KEY": _text(settings.secret_key) or keys.secret_key,
        "CARILLON_SMS_CALLBACK_SECRET": _text(settings.sms_callback_secret) or keys.sms_callback_secret,
        "CARILLON_PUBLIC_URL": platform.doors.api_url if is_public_default else settings.public_url,
        "CARILLON_DOOR_CERTIFICATE": str(certificate.absolute()),
        "CARILLON_DOOR_PRIVATE_KEY": str(private_key.absolute()),
        "PYTHONUNBUFFERED": "1",
    }


def _api_port(settings: Settings, port: int | None, say: Callable[[str], None]) -> int:
    if port is not None:
        if not is_free(port, settings.api_host):
            raise Misconfigured(
                f"port {port} of {settings.api_host} is in use by another program: give another --port, "
                "or leave it out and a free one is taken"
            )
        return port
    wanted = settings.api_port or _USUAL_PORT
    taken = prefer(wanted, settings.api_host)
    if taken != wanted:
        say(f"port {wanted} is in use by another program; taking {taken}")
    return taken


def _need_room(home: Home) -> None:
    free = shutil.disk_usage(home.folder).free
    if free < _NEEDED_BYTES:
        raise Misconfigured(
            f"the disk under {home.folder} has {free // 2**20} MB free, {_NEEDED_BYTES // 2**20} MB are needed: "
            "make room, or set CARILLON_DATA_PATH to another disk"
        )


async def _echo_errors(platform: Platform) -> None:
    """Show what the roles log as errors, while they run."""
    followers: dict[str, Follower] = {}
    while True:
        for name in platform.supervisor.pids:
            follower = followers.setdefault(name, Follower(platform.home.log(name)))
            for line in follower.read():
                words = as_error(line)
                if words:
                    platform.say(f"{name}: {words}")
        await asyncio.sleep(_ECHO_S)


def _text(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() or None if secret is not None else None
