"""The provider door's certificate for development: a small authority of this checkout's own, and a server under it.

Both are made once in the data folder and renewed near their end. Nobody but this machine should ever trust them.
"""

import ipaddress
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAMES = ("localhost",)
ADDRESSES = ("127.0.0.1", "::1")

AUTHORITY_DAYS = 3650
SERVER_DAYS = 397
"""The longest that common TLS libraries believe a server."""

RENEW_DAYS = 30
"""So many days before its end a certificate is made anew."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    private_key: ec.EllipticCurvePrivateKey


def development_certificate(folder: Path, *, now: datetime | None = None) -> tuple[Path, Path, Path]:
    """`(certificate, private key, authority)`: PEM files in `folder` for localhost, made or renewed when needed.

    Keys are PKCS#8 with mode 0600. A client trusts `authority`; it stays the same while it lives, so that a renewed
    server needs no change anywhere. Files that cannot be read as such are replaced.
    """
    moment = now or datetime.now(UTC)
    paths = folder / "door.pem", folder / "door.key", folder / "door-ca.pem"
    certificate, private_key, ca = paths
    ca_key = folder / "door-ca.key"
    authority = _kept(ca, ca_key, moment)
    if authority is None:
        authority = _authority(moment)
        _keep(authority, ca, ca_key)
    server = _kept(certificate, private_key, moment)
    if server is None or not _is_under(server.certificate, authority.certificate):
        _keep(_server(authority, moment), certificate, private_key)
    return paths


def _kept(certificate: Path, private_key: Path, now: datetime) -> _Pair | None:
    """What the files hold, if it is whole, belongs together and will live on for a while."""
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        key = serialization.load_pem_private_key(private_key.read_bytes(), None)
    except (OSError, ValueError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or found.public_key() != key.public_key():
        return None
    if found.not_valid_after_utc - now < timedelta(days=RENEW_DAYS) or found.not_valid_before_utc > now:
        return None
    return _Pair(found, key)


def _is_under(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # whatever is wrong with it, it is made anew
        return False
    return True


def _authority(now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Carillon development authority")])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _begun(name, name, key, now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
    )
    return _Pair(builder.sign(key, hashes.SHA256()), key)


def _server(authority: _Pair, now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAMES[0])])
    names = [*map(x509.DNSName, NAMES), *(x509.IPAddress(ipaddress.ip_address(each)) for each in ADDRESSES)]
    authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.private_key.public_key())
    builder = (
        _begun(name, authority.certificate.subject, key, now, SERVER_DAYS)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(authority_id, critical=False)
    )
    return _Pair(builder.sign(authority.private_key, hashes.SHA256()), key)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _keep(pair: _Pair, certificate: Path, private_key: Path) -> None:
    certificate.parent.mkdir(parents=True, exist_ok=True)
    _write(private_key, _pem_of(pair.private_key), 0o600)
    _write(certificate, pair.certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write a file that nobody ever sees half of, or readable to more people than meant."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)
