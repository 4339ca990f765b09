"""The whole visit, and the verb: all servers are looked at, an absent one keeps no other from being seen."""

import json

import pytest
from typer.testing import CliRunner

from ops.cli.main import app
from ops.doctor.findings import Level
from ops.doctor.visit import visit
from ops.stack.ports import free_port
from tests.integration.doctor.visits import STRONG, a_patient, by_name


async def test_an_absent_server_is_a_fault_and_the_others_are_looked_at(database_url: str, amqp_url: str) -> None:
    nobody = f"redis://127.0.0.1:{free_port()}/0"

    found = by_name(await visit(a_patient(database_url=database_url, redis_url=nobody, amqp_url=amqp_url)))

    assert found["redis.reach"].level is Level.FAIL
    assert "CARILLON_REDIS_URL" in found["redis.reach"].advice
    assert found["postgres.schema"].level is Level.OK
    assert "rabbitmq.version" in found


async def test_nobody_there_at_all_ends_in_one_fault_each(database_url: str) -> None:
    port = free_port()
    found = by_name(
        await visit(
            a_patient(
                database_url=f"postgresql://carillon:{STRONG}@127.0.0.1:{port}/carillon",
                redis_url=f"redis://127.0.0.1:{port}/0",
                amqp_url=f"amqp://carillon:{STRONG}@127.0.0.1:{port}/",
            )
        )
    )

    assert [found[f"{name}.reach"].level for name in ("postgres", "redis", "rabbitmq")] == [Level.FAIL] * 3
    assert not [each for each in found.values() if STRONG in each.words + each.advice]


def test_the_verb_fails_with_1_and_tells_programs_in_json(
    database_url: str, redis_url: str, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "AMQP_URL": amqp_url, "SECRET_KEY": "short"}
    for name, value in (facts | {"DATABSE_URL": "x"}).items():
        monkeypatch.setenv(f"CARILLON_{name}", value)

    answer = CliRunner().invoke(app, ["doctor", "--json"])
    people = CliRunner().invoke(app, ["doctor"])

    told = json.loads(answer.stdout)
    levels = {each["name"]: each["level"] for each in told["findings"]}
    assert (answer.exit_code, people.exit_code) == (1, 1)
    assert told["verdict"] == "FAIL"
    assert levels["settings.secret_key"] == "FAIL"
    assert levels["settings.names"] == "warn"
    assert "did you mean CARILLON_DATABASE_URL?" in people.stdout
    assert not [line for line in people.stdout.splitlines() if database_url.split(":")[2].split("@")[0] in line]
