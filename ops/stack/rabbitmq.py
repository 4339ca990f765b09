"""A RabbitMQ of our own: the real one of this machine as a private node, or our small broker in memory.

The private node shares nothing with one that the machine may run: own node name, data, ports, cookie and epmd. The
epmd is a program of ours in the foreground; left to itself Erlang would start a daemon that outlives everything.
"""

import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from functools import partial
from hashlib import blake2b
from pathlib import Path

from ops.stack.parts import NotStarted, Part, Way
from ops.stack.ports import HOST, free_port
from ops.stack.probes import amqp_answers
from ops.stack.programs import Program
from ops.stack.server import Server

_SETTINGS = """\
listeners.tcp.1 = {host}:{port}
default_user = carillon
default_pass = {password}
disk_free_limit.absolute = 256MB
"""

_SELDOM = "-rabbit quorum_tick_interval 30000"
"""Each quorum queue wakes up every 5 s for statistics, 40 of them 8 times a second; nobody reads those here.

Tried and left, on two cores: one scheduler (`+S 1:1`) costs the same per message, and a flood takes longer; schedulers
never wait busily with the start script's own arguments; a longer `collect_statistics_interval` saves nothing.
"""


def find_rabbitmq() -> Path | None:
    """The start script itself: Debian's wrapper in /usr/sbin changes the user and is not wanted."""
    if shutil.which("epmd") is None:
        return None
    candidates = [Path("/usr/lib/rabbitmq/bin/rabbitmq-server")]
    candidates += sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"), reverse=True)
    candidates += [Path("/opt/homebrew/sbin/rabbitmq-server"), Path("/usr/local/sbin/rabbitmq-server")]
    return next((script for script in candidates if os.access(script, os.X_OK)), None)


def rabbitmq_server(way: Way, folder: Path, *, password: str, log: Path) -> Server:
    """Prepare a broker. A private node keeps its queues under `folder`; the embedded one forgets them."""
    port = free_port()
    if way is Way.EMBEDDED:
        argv = (sys.executable, "-m", "ops.stack.broker", "--port", str(port), "--user", "carillon")
        told = {"CARILLON_BROKER_PASSWORD": password}  # not an argument: `ps` shows those to everybody
        program = Program("rabbitmq", argv, log, env=told, cwd=Path(__file__).parents[2])
        return _server(way, (program,), port, password=password)
    script = find_rabbitmq()
    if script is None:
        raise NotStarted("RabbitMQ was not found (looked for rabbitmq-server in /usr/lib/rabbitmq, and epmd in PATH)")
    home = folder / "rabbitmq"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_cookie(home)
    _write(home / "rabbitmq.conf", _SETTINGS.format(host=HOST, port=port, password=password))
    _write(home / "enabled_plugins", "[].\n")
    env = _environment(home, port)
    epmd = (shutil.which("epmd") or "epmd", "-address", HOST, "-port", env["ERL_EPMD_PORT"])
    programs = (
        Program("epmd", epmd, log, env, cwd=home),
        Program("rabbitmq", (str(script),), log, env, cwd=home),
    )
    return _server(way, programs, port, password=password)


def _server(way: Way, programs: tuple[Program, ...], port: int, *, password: str) -> Server:
    return Server(
        Part.RABBITMQ.label,
        programs,
        partial(amqp_answers, port),
        part=Part.RABBITMQ,
        way=way,
        url=f"amqp://carillon:{password}@{HOST}:{port}/%2F",
        about="our broker" if way is Way.EMBEDDED else "RabbitMQ",
    )


def _environment(home: Path, port: int) -> Mapping[str, str]:
    mark = blake2b(str(home.resolve()).encode(), digest_size=4).hexdigest()
    return {
        "HOME": str(home),
        "RUNNING_UNDER_SYSTEMD": "1",  # the script becomes the node itself: its pid is the one we started
        "RABBITMQ_NODENAME": f"carillon-{mark}@localhost",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-start_epmd false {_SELDOM}",
        "ERL_EPMD_PORT": str(free_port()),
        "ERL_EPMD_ADDRESS": HOST,
    }


def _write_cookie(home: Path) -> None:
    """Erlang's shared secret, made up once; it must be readable by its owner only."""
    cookie = home / ".erlang.cookie"
    if not cookie.exists():
        _write(cookie, secrets.token_hex(20))
        cookie.chmod(0o400)


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
