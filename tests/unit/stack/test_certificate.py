"""The development certificate: made once, trusted by way of its authority, renewed near its end."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.verification import PolicyBuilder, Store

from ops.stack.certificate import RENEW_DAYS, SERVER_DAYS, development_certificate

NOW = datetime.now(UTC)


def test_it_is_made_once_and_trusted_by_way_of_its_authority(tmp_path: Path) -> None:
    certificate, _, ca = development_certificate(tmp_path, now=NOW)
    first = certificate.read_bytes()

    development_certificate(tmp_path, now=NOW + timedelta(days=1))

    assert certificate.read_bytes() == first
    assert _names_trusted(certificate, ca) == {"localhost"}


def test_its_keys_are_pkcs8_and_for_their_owner_alone(tmp_path: Path) -> None:
    _, private_key, _ = development_certificate(tmp_path, now=NOW)

    assert private_key.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    load_pem_private_key(private_key.read_bytes(), None)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("*.key")} == {0o600}


def test_near_its_end_the_server_is_renewed_under_the_same_authority(tmp_path: Path) -> None:
    certificate, _, ca = development_certificate(tmp_path, now=NOW)
    first, authority = certificate.read_bytes(), ca.read_bytes()

    development_certificate(tmp_path, now=NOW + timedelta(days=SERVER_DAYS - RENEW_DAYS, hours=1))

    assert certificate.read_bytes() != first
    assert ca.read_bytes() == authority


def test_files_that_are_broken_or_belong_to_another_authority_are_replaced(tmp_path: Path) -> None:
    certificate, private_key, ca = development_certificate(tmp_path, now=NOW)
    first = certificate.read_bytes()

    private_key.write_text("no key")
    development_certificate(tmp_path, now=NOW)
    second = certificate.read_bytes()
    ca.unlink()
    development_certificate(tmp_path, now=NOW)

    assert len({first, second, certificate.read_bytes()}) == 3
    assert _names_trusted(certificate, ca) == {"localhost"}


def _names_trusted(certificate: Path, ca: Path) -> set[str]:
    """The names for which a strict verifier takes the certificate."""
    store = Store(x509.load_pem_x509_certificates(ca.read_bytes()))
    verifier = PolicyBuilder().store(store).time(NOW).build_server_verifier(x509.DNSName("localhost"))
    verifier.verify(x509.load_pem_x509_certificate(certificate.read_bytes()), [])
    return {"localhost"}
