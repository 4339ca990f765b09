"""The provider door's certificate: until when it holds, and whether its key fits."""

from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from ops.doctor.findings import Finding, bad, graded, ok
from ops.doctor.patient import Patient

SOON_DAYS = 21
NAME = "door.certificate"


def look(patient: Patient) -> Iterator[Finding]:
    """Every finding about the certificate; without one there is no door, and nothing to look at."""
    path = patient.settings.door_certificate
    if path is None:
        yield ok(NAME, "not set: no provider door")
        return
    try:
        chain = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        yield bad(NAME, f"{path} cannot be read: {error}", "name a PEM file with the certificate and its chain")
        return
    ends_at = min(certificate.not_valid_after_utc for certificate in chain)
    left_days = (ends_at - patient.clock()).total_seconds() / 86_400
    words = f"{path} holds until {ends_at:%Y-%m-%d}"
    if left_days <= 0:
        yield bad(NAME, f"{path} ended {ends_at:%Y-%m-%d}: no client connects", "renew it and restart the door")
    else:
        yield graded(NAME, -left_days, words, "renew it and restart the door", warn_over=-SOON_DAYS)
    key = patient.settings.door_private_key
    if key is not None and not _fits(chain[0], key):
        yield bad("door.private_key", f"{key} is not the key of {path}", "name the pair that belongs together")


def _fits(certificate: x509.Certificate, path: Path) -> bool:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        return False
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*form) == certificate.public_key().public_bytes(*form)
