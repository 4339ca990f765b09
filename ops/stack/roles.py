"""The roles that `up` starts, as data: their command lines, what they are told, and when they count as ready."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ops.stack.home import Home
from ops.stack.ports import free_port, prefer
from ops.stack.probes import accepts, http_answers, smtp_answers
from ops.stack.programs import Program
from ops.stack.unit import Unit
from plumbing.settings import Settings

_ROOT = Path(__file__).resolve().parents[2]
_SMTP_PORT, _SMS_PORT = 2525, 8025
_GATEWAY_PORT, _DOOR_PORT = 8001, 8443
"""The usual ones: taken when free."""

_METRICS_PORTS = {"worker": 9100, "scheduler": 9101, "gateway": 9102, "door": 9103}
"""Of the roles without an API, as ops/prometheus/prometheus.yml has them."""


@dataclass(frozen=True, slots=True)
class Doors:
    """Where the roles of one `up` can be reached: ports for the roles, URLs for people."""

    api_port: int
    gateway_port: int
    door_port: int
    metrics_ports: Mapping[str, int]
    api_url: str
    gateway_url: str
    provider_url: str

    @property
    def metrics_urls(self) -> dict[str, str]:
        """The metrics of each role, by its name."""
        urls = {f"{role}-1": f"http://127.0.0.1:{port}/metrics" for role, port in self.metrics_ports.items()}
        return {"api-1": f"{self.api_url}/metrics", **urls}


def choose_doors(settings: Settings, api_port: int) -> Doors:
    """The ports that are set (0: the usual ones) where they are free, else others."""
    gateway_port = prefer(settings.gateway_port or _GATEWAY_PORT, settings.gateway_host)
    door_port = prefer(settings.door_port or _DOOR_PORT, settings.door_host)
    return Doors(
        api_port=api_port,
        gateway_port=gateway_port,
        door_port=door_port,
        metrics_ports=_metrics_ports(),
        api_url=f"http://{settings.api_host}:{api_port}",
        gateway_url=settings.gateway_url or f"ws://{settings.gateway_host}:{gateway_port}/v1/connect",
        provider_url=f"https://{settings.door_host}:{door_port}",
    )


def all_roles(home: Home, env: Mapping[str, str], doors: Doors) -> list[Unit]:
    """Every role once, told where it listens."""
    more: dict[str, dict[str, str]] = {
        "gateway": {"CARILLON_GATEWAY_PORT": str(doors.gateway_port), "CARILLON_GATEWAY_NODE": "gateway-1"},
        "door": {"CARILLON_DOOR_PORT": str(doors.door_port)},
    }
    units = [api_role(home, env, port=doors.api_port)]
    for role, port in doors.metrics_ports.items():
        units.append(background_role(role, home, {**env, **more.get(role, {})}, metrics_port=port))
    return units


def second_role(role: str, home: Home, env: Mapping[str, str], doors: Doors) -> Unit:
    """Another process of that role beside the first: APIs share their port, a gateway has its own and another name."""
    if role == "api":
        return api_role(home, env, port=doors.api_port, name="api-2")
    more: dict[str, dict[str, str]] = {
        "gateway": {"CARILLON_GATEWAY_PORT": str(free_port()), "CARILLON_GATEWAY_NODE": "gateway-2"}
    }
    return background_role(role, home, {**env, **more.get(role, {})}, metrics_port=free_port(), name=f"{role}-2")


def api_role(home: Home, env: Mapping[str, str], *, port: int, name: str = "api-1") -> Unit:
    """The REST door on `port`."""
    told = {**env, "CARILLON_API_PORT": str(port)}
    return _role("api", name, home, told, ready=partial(http_answers, port, "/health/ready"))


def background_role(
    role: str, home: Home, env: Mapping[str, str], *, metrics_port: int, name: str | None = None
) -> Unit:
    """A role without an API; ready when its metrics can be read."""
    told = {**env, "CARILLON_METRICS_PORT": str(metrics_port)}
    return _role(role, name or f"{role}-1", home, told, ready=partial(http_answers, metrics_port, "/metrics"))


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


def _metrics_ports() -> dict[str, int]:
    """A port per role, the usual ones where those are free."""
    ports: dict[str, int] = {}
    for role, usual in _METRICS_PORTS.items():
        port = prefer(usual)
        ports[role] = port if port not in ports.values() else free_port()
    return ports


def _role(role: str, name: str, home: Home, env: Mapping[str, str], *args: str, ready: Callable[[], bool]) -> Unit:
    argv = (sys.executable, "-m", "ops.cli.main", role, *args)
    return Unit(name, (Program(name, argv, home.log(name), env, cwd=_ROOT),), ready)
