"""What the doctor says of settings and certificates, without asking anybody."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.clock import utc_now
from ops.doctor import certificate, configuration
from ops.doctor.findings import Level, as_document, bad, graded, ok, warn
from ops.stack.certificate import development_certificate
from tests.integration.doctor.visits import STRONG, a_patient, by_name, not_ok


def test_good_settings_give_nothing_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert not_ok(by_name(configuration.look(a_patient(), {"CARILLON_SECRET_KEY": "x", "PATH": "y"}))) == {}


@pytest.mark.parametrize(
    ("facts", "name", "level"),
    [
        ({"database_url": None}, "database_url", Level.FAIL),
        ({"database_url": "postgresql://carillon:carillon@db.example.org/x"}, "database_url", Level.FAIL),
        ({"redis_url": "redis://cache.example.org/0"}, "redis_url", Level.FAIL),
        ({"amqp_url": "amqp://carillon:short@broker.example.org/"}, "amqp_url", Level.FAIL),
        ({"secret_key": None}, "secret_key", Level.FAIL),
        ({"secret_key": "x" * 64}, "secret_key", Level.FAIL),
        ({"secret_key": STRONG[:20]}, "secret_key", Level.FAIL),
        ({"sms_callback_secret": STRONG}, "sms_callback_secret", Level.FAIL),
        ({"sms_callback_secret": None}, "sms_callback_secret", Level.FAIL),
        ({"sms_callback_secret": None, "sms_url": None}, "sms_callback_secret", Level.WARN),
        ({"smtp_url": None}, "smtp_url", Level.WARN),
        ({"smtp_starttls": "never"}, "smtp_url", Level.WARN),
        ({"sms_url": "http://sms.example.org/"}, "sms_url", Level.FAIL),
        ({"public_url": "http://notify.example.org"}, "public_url", Level.FAIL),
        ({"public_url": "http://127.0.0.1:8000", "is_local": True}, "public_url", Level.WARN),
        ({"email_from": "Carillon <notifications@carillon.localhost>"}, "email_from", Level.FAIL),
        ({"gateway_url": "ws://push.example.org"}, "gateway_url", Level.FAIL),
        ({"log_level": "debug"}, "log_level", Level.WARN),
    ],
)
def test_each_fault_has_its_name_and_what_to_do(facts: dict[str, Any], name: str, level: Level) -> None:
    found = by_name(configuration.look(a_patient(**facts), {}))[f"settings.{name}"]

    assert found.level is level
    assert found.advice
    assert STRONG not in found.words + found.advice


def test_passwords_on_loopback_may_be_weak() -> None:
    found = by_name(configuration.look(a_patient(redis_url="redis://127.0.0.1:6379/0"), {}))

    assert found["settings.redis_url"].level is Level.OK


def test_a_misspelt_variable_is_found_by_its_neighbour() -> None:
    found = by_name(configuration.look(a_patient(), {"CARILLON_PUBLC_URL": "x"}))["settings.names"]

    assert found.level is Level.WARN
    assert found.advice == "did you mean CARILLON_PUBLIC_URL?"


def test_keys_and_secrets_that_others_can_read_are_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("door.key", ".env"):
        (tmp_path / name).write_text("")
        os.chmod(tmp_path / name, 0o644)

    found = by_name(configuration.look(a_patient(door_private_key=tmp_path / "door.key"), {}))

    assert found["settings.door_private_key"].level is Level.FAIL
    assert found["settings.env_file"].level is Level.FAIL


def test_a_certificate_is_told_before_it_ends_and_when_it_has_ended(tmp_path: Path) -> None:
    pem, key, authority = development_certificate(tmp_path)
    ends = next(iter(certificate.look(a_patient(door_certificate=pem, door_private_key=key))))
    assert ends.level is Level.OK

    levels = []
    for left in (5, -1):
        moment = _end_of(pem) - timedelta(days=left)
        patient = a_patient(door_certificate=pem, skew_s=(moment - utc_now()).total_seconds())
        levels.append(by_name(certificate.look(patient))[certificate.NAME].level)
    wrong = by_name(certificate.look(a_patient(door_certificate=authority, door_private_key=key)))
    unreadable = by_name(certificate.look(a_patient(door_certificate=tmp_path / "nothing")))

    assert levels == [Level.WARN, Level.FAIL]
    assert wrong["door.private_key"].level is Level.FAIL
    assert unreadable[certificate.NAME].level is Level.FAIL


def _end_of(pem: Path) -> Any:
    from cryptography import x509

    return x509.load_pem_x509_certificate(pem.read_bytes()).not_valid_after_utc


def test_a_value_is_graded_by_two_limits() -> None:
    levels = [graded("x", value, "", "", warn_over=1, fail_over=2).level for value in (1, 1.5, 3)]

    assert levels == [Level.OK, Level.WARN, Level.FAIL]


def test_the_verdict_is_that_of_the_worst() -> None:
    assert as_document([ok("a", "")])["verdict"] == "ok"
    assert as_document([ok("a", ""), warn("b", "", "")])["verdict"] == "warn"
    assert as_document([bad("a", "", ""), warn("b", "", "")])["verdict"] == "FAIL"
