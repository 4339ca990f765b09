"""The roles that `up` starts, as data: their command lines, what they are told, and when they count as ready."""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from ops.stack.home import Home
from ops.stack.ports import free_port, prefer
from ops.stack.probes import accepts, http_answers, smtp_answers
from ops.stack.programs import Program
from ops.stack.unit import Unit

_ROOT = Path(__file__).resolve().parents[2]
_SMTP_PORT, _SMS_PORT, _METRICS_PORT = 2525, 8025, 9100
"""The usual ones: taken when free."""


def api_role(home: Home, env: Mapping[str, str], *, port: int) -> Unit:
    """The REST door on `port`."""
    told = {**env, "CARILLON_API_PORT": str(port)}
    return _role("api", "api-1", home, told, ready=partial(http_answers, port, "/health/ready"))


def background_role(role: str, home: Home, env: Mapping[str, str], *, metrics_port: int) -> Unit:
    """`worker` or `scheduler`; ready when its metrics can be read."""
    told = {**env, "CARILLON_METRICS_PORT": str(metrics_port)}
    return _role(role, f"{role}-1", home, told, ready=partial(http_answers, metrics_port, "/metrics"))


def simulated_role(home: Home, env: Mapping[str, str]) -> tuple[Unit, dict[str, str]]:
    """The simulated providers, and the fields of run.json that tell where they are."""
    smtp_port, sms_port = prefer(_SMTP_PORT), prefer(_SMS_PORT)
    ledger = home.folder / "ledger.jsonl"
    args = ("--smtp-port", str(smtp_port), "--sms-port", str(sms_port), "--ledger", str(ledger))

    def ready() -> bool:
        return smtp_answers(smtp_port) and accepts(sms_port)

    where = {
        "smtp_url": f"smtp://127.0.0.1:{smtp_port}",
        "sms_url": f"http://127.0.0.1:{sms_port}/messages",
        "ledger": str(ledger),
    }
    return _role("simulated", "simulated-1", home, env, *args, ready=ready), where


def metrics_ports(*roles: str) -> dict[str, int]:
    """A port per role, from the usual one upwards where those are free."""
    ports: dict[str, int] = {}
    for number, role in enumerate(roles):
        port = prefer(_METRICS_PORT + number)
        ports[role] = port if port not in ports.values() else free_port()
    return ports


def _role(role: str, name: str, home: Home, env: Mapping[str, str], *args: str, ready: Callable[[], bool]) -> Unit:
    argv = (sys.executable, "-m", "ops.cli.main", role, *args)
    return Unit(name, (Program(name, argv, home.log(name), env, cwd=_ROOT),), ready)
