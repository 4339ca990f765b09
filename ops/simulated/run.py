"""The simulated providers as one process: both servers, one ledger, one line when they are ready."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from domain.errors import Misconfigured
from ops.simulated.ledger import Ledger
from ops.simulated.reports import Reporter
from ops.simulated.sms import SimulatedSms
from ops.simulated.smtp import SimulatedSmtp
from plumbing.settings import Settings


async def run(
    settings: Settings,
    *,
    smtp_port: int = 0,
    sms_port: int = 0,
    ledger: Path,
    announce: Callable[[dict[str, object]], None],
    callback_url: str | None = None,
) -> None:
    """Serve on loopback until SIGTERM or SIGINT. `announce` gets smtp_url, sms_url, ports and ledger once ready.

    Reports go to `callback_url` (by default `/callbacks/sms` below the public URL) if there is a secret to sign with.
    """
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    reporter = _reporter(settings, callback_url)
    try:
        book = Ledger(ledger)
    except OSError as error:
        raise Misconfigured(f"the ledger {ledger} cannot be written: {error}") from error
    smtp, sms = SimulatedSmtp(book), SimulatedSms(book, reporter=reporter)
    try:
        await _start(smtp, smtp_port)
        await _start(sms, sms_port)
        announce(
            {
                "smtp_url": f"smtp://127.0.0.1:{smtp.port}",
                "sms_url": f"http://127.0.0.1:{sms.port}/messages",
                "smtp_port": smtp.port,
                "sms_port": sms.port,
                "ledger": str(ledger),
            }
        )
        await ended.wait()
    finally:
        await smtp.close()
        await sms.close()
        if reporter is not None:
            await reporter.close()
        await book.close()


def _reporter(settings: Settings, callback_url: str | None) -> Reporter | None:
    if settings.sms_callback_secret is None:
        return None
    url = callback_url or settings.public_url.rstrip("/") + "/callbacks/sms"
    return Reporter(url, settings.sms_callback_secret.get_secret_value())


async def _start(server: SimulatedSmtp | SimulatedSms, port: int) -> None:
    try:
        await server.start(port=port)
    except OSError as error:
        raise Misconfigured(f"a simulated provider cannot listen on 127.0.0.1:{port}: {error}") from error
