"""Email over TLS: passwords go only to servers that somebody vouches for."""

import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from channels.base import Outcome, Sent
from channels.email.pool import SmtpServer
from channels.email.smtp import SmtpChannel
from domain.errors import Transient
from domain.reasons import Reason
from ops.simulated.ledger import Ledger
from ops.simulated.smtp import SimulatedSmtp
from tests.fakes import outgoing, simulated_providers

FROM = "Carillon <hello@carillon.localhost>"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost, made on the spot."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate and is not here")
    folder = tmp_path_factory.mktemp("certificate")
    key, chain = folder / "key.pem", folder / "chain.pem"
    made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    subject = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(chain)]
    subprocess.run(["openssl", *made.split(), *subject], check=True, capture_output=True)
    return chain, key


@asynccontextmanager
async def private_server(folder: Path, certificate: tuple[Path, Path]) -> AsyncIterator[tuple[SimulatedSmtp, int]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    ledger = Ledger(folder / "ledger.jsonl")
    server = await SimulatedSmtp(ledger, tls_context=context, login=("carillon", "s3cret/")).start()
    yield server, server.port
    await server.close()
    await ledger.close()


async def private_send(port: int, password: str, trusted: ssl.SSLContext | None) -> Outcome:
    server = SmtpServer.parse(f"smtp://carillon:{password}@localhost:{port}", "required")
    channel = SmtpChannel(server, email_from=FROM, tls_context=trusted)
    [outcome] = await channel.send([outgoing("ok@example.com")])
    await channel.close()
    return outcome


async def test_starttls_and_a_password_from_the_url_are_used(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    trusted = ssl.create_default_context(cafile=str(certificate[0]))
    async with private_server(tmp_path, certificate) as (server, port):
        outcome = await private_send(port, "s3cret%2F", trusted)

        assert isinstance(outcome, Sent)
        assert len(server.received) == 1


async def test_a_wrong_password_is_for_people_to_mend_and_no_fault_of_the_message(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    trusted = ssl.create_default_context(cafile=str(certificate[0]))
    async with private_server(tmp_path, certificate) as (_, port):
        outcome = await private_send(port, "wrong", trusted)

    assert isinstance(outcome, Transient)
    assert outcome.reason is Reason.PROVIDER_CREDENTIALS
    assert "wrong" not in outcome.answer


async def test_a_certificate_that_nobody_vouches_for_gets_no_password(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    async with private_server(tmp_path, certificate) as (server, port):
        outcome = await private_send(port, "s3cret%2F", None)

        assert isinstance(outcome, Transient)
        assert outcome.reason is Reason.PROVIDER_CREDENTIALS
        assert not server.received


async def test_where_starttls_is_required_and_not_offered_nothing_is_sent(tmp_path: Path) -> None:
    async with simulated_providers(tmp_path) as providers:
        server = SmtpServer("127.0.0.1", providers.smtp.port, starttls="required")
        channel = SmtpChannel(server, email_from=FROM)

        [outcome] = await channel.send([outgoing("ok@example.com")])

    assert isinstance(outcome, Transient)
    assert outcome.reason is Reason.PROVIDER_CREDENTIALS
    assert not providers.smtp.received
