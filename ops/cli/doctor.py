"""The verb `doctor`: looks the platform over and says what to do."""

import asyncio
import json
from typing import Annotated

import typer

from ops.cli.door import settings

Management = Annotated[str, typer.Option("--management", help="RabbitMQ's management: http://user:password@host:15672")]


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command()(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For programs; alone on standard output.")] = False,
    management: Management = "",
) -> None:
    """Check settings, servers, schema, clocks, queues and unsubscribe links; say what to do. Exit code 1 on FAIL.

    Looks at what the environment and .env name, else at the `up` that runs here. It changes nothing.
    """
    from ops.doctor.findings import Level, as_document  # lazy: asyncpg, redis, aio-pika
    from ops.doctor.patient import find_patient
    from ops.doctor.visit import visit

    patient = find_patient(settings(), management_url=management or None)
    findings = asyncio.run(visit(patient))
    document = as_document(findings)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        for finding in findings:
            typer.echo(f"{finding.level:<4}  {finding.name:<30}  {finding.words}")
            if finding.advice:
                typer.echo(f"{'':<38}{finding.advice}")
        counts = {level: sum(finding.level is level for finding in findings) for level in Level}
        typer.echo(", ".join(f"{count} {level}" for level, count in counts.items() if count))
    raise SystemExit(1 if document["verdict"] is Level.FAIL else 0)
