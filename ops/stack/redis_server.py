"""A Redis of our own: the real `redis-server` of this machine, or fakeredis behind a TCP port."""

import shutil
import sys
from functools import partial
from pathlib import Path

from ops.stack.parts import NotStarted, Part, Way
from ops.stack.ports import HOST, free_port
from ops.stack.probes import redis_answers
from ops.stack.programs import Program
from ops.stack.server import Server


def find_redis() -> Path | None:
    """`redis-server`, or its open successor `valkey-server`."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    return Path(found) if found else None


def redis_server(way: Way, folder: Path, *, password: str, log: Path) -> Server:
    """Prepare a Redis. Nothing is kept on disk: Redis is a cache here, and an empty one is right after a restart."""
    port = free_port()
    if way is Way.EMBEDDED:
        argv = (sys.executable, "-m", "ops.stack.fake_redis", "--port", str(port))
        program = Program("redis", argv, log, cwd=Path(__file__).parents[2])
        return _server(way, program, port, password=None)
    binary = find_redis()
    if binary is None:
        raise NotStarted("Redis was not found (looked for redis-server and valkey-server in PATH)")
    home = folder / "redis"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = home / "redis.conf"  # a file, so that the password shows in no process list
    settings.touch(mode=0o600)
    settings.write_text(
        f'port {port}\nbind {HOST}\nrequirepass {password}\nsave ""\nappendonly no\ndir "{home}"\ndatabases 64\n'
    )
    return _server(way, Program("redis", (str(binary), str(settings)), log, cwd=home), port, password=password)


def _server(way: Way, program: Program, port: int, *, password: str | None) -> Server:
    return Server(
        Part.REDIS.label,
        (program,),
        partial(redis_answers, port, password),
        part=Part.REDIS,
        way=way,
        url=f"redis://{f':{password}@' if password else ''}{HOST}:{port}/0",
        about="fakeredis" if way is Way.EMBEDDED else "Redis",
    )
