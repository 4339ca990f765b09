"""A patient for tests: settings of a healthy production, and findings by their names."""

from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from domain.clock import utc_now
from ops.doctor.findings import Finding, Level
from ops.doctor.patient import Patient
from plumbing.settings import Settings

STRONG = "f3J9vQm2LkW8xTzR5bYc7HdN1pSgE4uA6oKi0MqX"


def a_patient(*, is_local: bool = False, skew_s: float = 0, management_url: str | None = None, **facts: Any) -> Patient:
    """Settings with nothing to complain of, but for `facts`; URLs and secrets are given as text."""
    healthy = {
        "database_url": f"postgresql://carillon:{STRONG}@db.example.org/carillon",
        "redis_url": f"redis://:{STRONG}@cache.example.org/0",
        "amqp_url": f"amqp://carillon:{STRONG}@broker.example.org/carillon",
        "smtp_url": "smtp://mail.example.org",
        "sms_url": "https://sms.example.org/send",
        "secret_key": STRONG,
        "sms_callback_secret": STRONG[::-1],
        "public_url": "https://notify.example.org",
        "email_from": "Example <news@example.org>",
    }
    given = {
        name: SecretStr(value) if name.endswith(("_url", "secret", "secret_key")) and name != "public_url" else value
        for name, value in (healthy | facts).items()
        if value is not None
    }
    if "gateway_url" in given:
        given["gateway_url"] = facts["gateway_url"]
    settings = Settings(_env_file=None).model_copy(update=given)
    return Patient(settings, is_local, management_url, lambda: utc_now() + timedelta(seconds=skew_s))


def by_name(findings: Iterable[Finding]) -> dict[str, Finding]:
    """The worst finding of each name."""
    found: dict[str, Finding] = {}
    worse = [Level.OK, Level.WARN, Level.FAIL]
    for each in findings:
        before = found.get(each.name)
        if before is None or worse.index(each.level) > worse.index(before.level):
            found[each.name] = each
    return found


async def gathered(findings: AsyncIterator[Finding]) -> dict[str, Finding]:
    """The same of findings that come one by one."""
    return by_name([each async for each in findings])


def not_ok(findings: dict[str, Finding]) -> dict[str, Level]:
    """What there is to do."""
    return {name: each.level for name, each in findings.items() if each.level is not Level.OK}
