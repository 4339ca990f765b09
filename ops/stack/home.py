"""The folder `.data`: keys made once, what runs now, logs; and who may start something there."""

import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from domain.errors import Misconfigured
from domain.notification import Mode
from ops.stack.accounts import data_folder
from ops.stack.guardian import is_alive
from plumbing.secrets import new_api_key


@dataclass(frozen=True, slots=True)
class Keys:
    """Secrets of this checkout's local stack, made up once; losing the file loses the local databases with it."""

    secret_key: str
    sms_callback_secret: str
    api_key: str
    test_key: str
    postgres_password: str
    redis_password: str
    rabbitmq_password: str


@dataclass(slots=True)
class Run:
    """What runs now, as `.data/run.json` tells it; what does not exist yet is None."""

    api_url: str
    gateway_url: str | None
    provider_url: str | None
    metrics_urls: dict[str, str]
    api_key: str
    test_key: str
    app_key: str | None
    stack: dict[str, str]
    database_url: str
    redis_url: str
    amqp_url: str
    pids: dict[str, int] = field(default_factory=dict)
    simulated: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Home:
    """`.data` of a checkout."""

    folder: Path

    @property
    def run_file(self) -> Path:
        """Where the running platform is described."""
        return self.folder / "run.json"

    @property
    def logs(self) -> Path:
        """Where every program's output goes, `<name>.log`."""
        return self.folder / "logs"

    def log(self, name: str) -> Path:
        """The log of one program."""
        return self.logs / f"{name}.log"

    def open(self) -> None:
        """Make the folders. Misconfigured when that is not allowed."""
        try:
            data_folder(self.folder)
            self.logs.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Misconfigured(
                f"{error.filename or self.folder} cannot be written ({error.strerror}): "
                "make it yours, or set CARILLON_DATA_PATH to another folder"
            ) from error

    def claim(self) -> int | None:
        """The descriptor of the lock that one `up` holds here as long as it lives, or None when another has it."""
        descriptor = os.open(self.folder / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def keys(self) -> Keys:
        """The local keys, made at the first call."""
        path = self.folder / "keys.json"
        known = _read(path) or {}
        made = {
            "secret_key": secrets.token_urlsafe(32),
            "sms_callback_secret": secrets.token_urlsafe(32),
            "api_key": new_api_key(Mode.LIVE),
            "test_key": new_api_key(Mode.TEST),
            "postgres_password": secrets.token_urlsafe(18),
            "redis_password": secrets.token_urlsafe(18),
            "rabbitmq_password": secrets.token_urlsafe(18),
        }
        keys = Keys(**{name: str(known.get(name) or value) for name, value in made.items()})
        if asdict(keys) != known:
            write_private(path, asdict(keys))
        return keys

    def write_run(self, run: Run) -> None:
        """Tell the world what runs."""
        write_private(self.run_file, asdict(run))

    def read_run(self) -> Run | None:
        """What runs now; None when nothing does. A file whose `up` is gone is a leftover, whatever it says."""
        found = _read(self.run_file)
        if found is None:
            return None
        try:
            run = Run(**found)
            written_at = self.run_file.stat().st_mtime
        except (TypeError, OSError):
            return None
        started_at = start_time(run.pids.get("up", 0))
        return run if started_at is not None and started_at <= written_at + _CLOCK_SLACK_S else None

    def forget_run(self) -> None:
        """Nothing runs any more."""
        self.run_file.unlink(missing_ok=True)


_CLOCK_SLACK_S = 2.0


def start_time(pid: int) -> float | None:
    """When `pid` started, epoch seconds; None when it does not run. Where only life can be seen (no /proc): 0."""
    if pid <= 0 or not is_alive(pid):
        return None
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        lines = Path("/proc/stat").read_text().splitlines()
    except (OSError, IndexError):
        return 0.0
    boot = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
    return boot + ticks / os.sysconf("SC_CLK_TCK")


def write_private(path: Path, content: dict[str, Any]) -> None:
    """Replace `path` whole, readable by its owner only."""
    half = path.with_name(path.name + ".half")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
    half.replace(path)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{path} cannot be read: {error}; repair it, or remove it to begin anew") from error
    return found if isinstance(found, dict) else None
