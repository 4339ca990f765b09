"""Hand-written stand-ins for the outside world, for any test: the simulated providers in-process, and deliveries."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from channels.base import Outgoing
from domain.content import EmailContent, PushContent, SmsContent
from domain.ids import delivery_id, notification_id, uuid7
from domain.lanes import Channel
from domain.notification import Mode
from ops.simulated.ledger import Ledger, LedgerReader
from ops.simulated.reports import Reporter
from ops.simulated.sms import SimulatedSms
from ops.simulated.smtp import SimulatedSmtp

TENANT = uuid7()


@dataclass(frozen=True, slots=True)
class Providers:
    """Both simulated providers on free loopback ports, and their ledger's file."""

    smtp: SimulatedSmtp
    sms: SimulatedSms
    ledger_path: Path

    @property
    def smtp_url(self) -> str:
        return f"smtp://127.0.0.1:{self.smtp.port}"

    @property
    def sms_url(self) -> str:
        return f"http://127.0.0.1:{self.sms.port}/messages"

    def ledger(self) -> LedgerReader:
        """The ledger as it stands now."""
        return LedgerReader.read(self.ledger_path)


@asynccontextmanager
async def simulated_providers(
    folder: Path, *, callback_url: str | None = None, callback_secret: str | None = None
) -> AsyncIterator[Providers]:
    """Start both providers in this process; with URL and secret the SMS provider reports by callbacks."""
    path = folder / "ledger.jsonl"
    reporter = Reporter(callback_url, callback_secret) if callback_url and callback_secret else None
    ledger = Ledger(path)
    smtp, sms = await SimulatedSmtp(ledger).start(), await SimulatedSms(ledger, reporter=reporter).start()
    try:
        yield Providers(smtp, sms, path)
    finally:
        await smtp.close()
        await sms.close()
        if reporter is not None:
            await reporter.close()
        await ledger.close()


def outgoing(
    address: str,
    *,
    channel: Channel | None = None,
    content: EmailContent | SmsContent | PushContent | None = None,
    identifier: UUID | None = None,
    mode: Mode = Mode.LIVE,
) -> Outgoing:
    """A claimed delivery to `address`; email when it has an @, else SMS."""
    notification = notification_id()
    is_email = "@" in address
    words = EmailContent("Hello", "Hello there.\n") if is_email else SmsContent("Hello there.")
    return Outgoing(
        id=identifier or delivery_id(notification, 1),
        notification_id=notification,
        tenant_id=TENANT,
        attempt=1,
        channel=channel or (Channel.EMAIL if is_email else Channel.SMS),
        mode=mode,
        category="general",
        address=address,
        content=content or words,
    )
