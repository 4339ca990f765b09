"""Settings without asking anybody: what is missing, misspelt, weak, or a default that production must not have."""

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from ops.doctor.findings import Finding, Level, bad, ok, warn
from ops.doctor.patient import Patient
from plumbing.settings import Settings

PREFIX = "CARILLON_"
BESIDE = frozenset({"CARILLON_URL", "CARILLON_KEY", "CARILLON_REQUIRE_REAL"})
"""Read by verbs and tests, and no settings of the platform."""

LEAST_BYTES = {"secret_key": 32, "sms_callback_secret": 24}
LEAST_DIFFERENT = 12
LEAST_PASSWORD = 12
SERVERS = ("database_url", "redis_url", "amqp_url")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def look(patient: Patient, environment: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """Every finding about settings; `environment` is that of this process unless given."""
    yield from _names(os.environ if environment is None else environment)
    yield from _servers(patient)
    yield from _secrets(patient)
    yield from _providers(patient)
    yield from _public(patient)
    yield from _doors(patient)


def _names(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Misspelt variables set nothing, and nobody else would tell."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    strange = sorted(
        name
        for name in environment
        if name.startswith(PREFIX) and name not in known | BESIDE and not name.startswith("CARILLON_TEST_")
    )
    for name in strange:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else ".env.example lists all of them"
        yield warn("settings.names", f"{name} is no setting", hint)
    if not strange:
        yield ok("settings.names", "every CARILLON_ variable is a setting")


def _servers(patient: Patient) -> Iterator[Finding]:
    for name in SERVERS:
        finding, url = f"settings.{name}", patient.url(name)
        if url is None:
            yield bad(finding, f"{PREFIX}{name.upper()} is not set", Settings.model_fields[name].description or "")
            continue
        parts = urlsplit(url)
        password = parts.password or ""
        is_weak = len(password) < LEAST_PASSWORD or password == parts.username
        if is_weak and parts.hostname not in _LOOPBACK:
            words = "has no password" if not password else "has a password that can be guessed"
            yield bad(
                finding, f"{parts.hostname} {words}", f"give it one of at least {LEAST_PASSWORD} random characters"
            )
        else:
            yield ok(finding, f"{parts.hostname}:{parts.port or 'its usual port'}")


def _secrets(patient: Patient) -> Iterator[Finding]:
    for name, least in LEAST_BYTES.items():
        finding, value = f"settings.{name}", patient.url(name)
        advice = f"set {PREFIX}{name.upper()} to the output of `openssl rand -base64 48`"
        if value is None:
            is_needed = name == "secret_key" or patient.url("sms_url") is not None
            yield (bad if is_needed else warn)(finding, "is not set", advice)
        elif len(value.encode()) < least or len(set(value)) < LEAST_DIFFERENT:
            yield bad(finding, f"is weak: it needs at least {least} random bytes", advice)
        elif name != "secret_key" and value == patient.url("secret_key"):
            yield bad(finding, "is the same as CARILLON_SECRET_KEY", advice)
        else:
            yield ok(finding, f"{len(value.encode())} bytes")


def _providers(patient: Patient) -> Iterator[Finding]:
    smtp, sms = patient.url("smtp_url"), patient.url("sms_url")
    if smtp is None:
        yield warn("settings.smtp_url", "is not set: no email can be sent", "set CARILLON_SMTP_URL")
    elif urlsplit(smtp).hostname not in _LOOPBACK and patient.settings.smtp_starttls == "never":
        words = "emails travel without TLS"
        yield warn("settings.smtp_url", words, "set CARILLON_SMTP_STARTTLS=required, or use smtps://")
    else:
        yield ok("settings.smtp_url", str(urlsplit(smtp).hostname))
    if sms is None:
        yield warn("settings.sms_url", "is not set: no SMS can be sent", "set CARILLON_SMS_URL")
    elif urlsplit(sms).scheme != "https" and urlsplit(sms).hostname not in _LOOPBACK:
        yield bad("settings.sms_url", "numbers and texts travel in clear", "use https://")
    else:
        yield ok("settings.sms_url", str(urlsplit(sms).hostname))


def _public(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings
    parts = urlsplit(settings.public_url)
    if parts.scheme != "https" or parts.hostname in _LOOPBACK:
        words = f"{settings.public_url} is no https:// address that recipients reach: unsubscribe links do not work"
        yield _for_production(patient, "settings.public_url", words, "set CARILLON_PUBLIC_URL=https://…")
    else:
        yield ok("settings.public_url", settings.public_url)
    if settings.email_from == Settings.model_fields["email_from"].default:
        words = "is the default, which no mail server believes"
        yield _for_production(patient, "settings.email_from", words, "set CARILLON_EMAIL_FROM to a domain of yours")
    else:
        yield ok("settings.email_from", "is yours")
    if settings.gateway_url and not settings.gateway_url.startswith("wss://"):
        words = f"{settings.gateway_url} is not wss://: tokens of devices travel in clear"
        yield _for_production(patient, "settings.gateway_url", words, "set CARILLON_GATEWAY_URL=wss://…")
    if settings.log_level == "debug":
        yield warn("settings.log_level", "debug writes a line for everything", "set CARILLON_LOG_LEVEL=info")


def _doors(patient: Patient) -> Iterator[Finding]:
    key = patient.settings.door_private_key
    if key is not None and (fault := _fault_of_key(key)) is not None:
        yield bad("settings.door_private_key", fault, f"chmod 600 {key}, owned by the account of the door")
    env = Path(".env")
    if env.exists() and env.stat().st_mode & 0o077:
        yield bad("settings.env_file", f"{env.resolve()} can be read by others", f"chmod 600 {env.resolve()}")


def _fault_of_key(key: Path) -> str | None:
    try:
        mode = key.stat().st_mode
    except OSError as error:
        return f"{key} cannot be read: {error.strerror}"
    return f"{key} can be read by others" if mode & 0o077 else None


def _for_production(patient: Patient, name: str, words: str, advice: str) -> Finding:
    level = Level.WARN if patient.is_local else Level.FAIL
    return Finding(name, level, words, advice)
