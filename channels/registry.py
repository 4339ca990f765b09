"""The channels of a worker: which provider serves what, each behind its breaker, its pace and its retry of blips.

Push has none of these: its provider is ourselves, and takes whole slices.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType

import structlog

from channels.base import ChannelPort, Outcome, Outgoing
from channels.breaker import Breaker, BreakerState, failed
from channels.budget import Grace, RetryBudget
from channels.email.pool import SmtpServer
from channels.email.smtp import SmtpChannel
from channels.pace import Pace
from channels.retry import past_blips
from channels.simulated import SimulatedChannel
from channels.sms.http import HttpSmsChannel
from domain.errors import Ambiguous, NotSent, Throttled, Transient
from domain.lanes import OPEN_CHANNELS, Channel
from domain.notification import Mode
from domain.reasons import Reason
from plumbing.settings import Settings

DEFAULT_MAX_PER_S = 1000.0
_ANY_NUMBER = 1_000_000
_UNCONFIGURED_RETRY_S = 300.0

_log = structlog.get_logger(__name__)


class Channels:
    """All providers of one process. Test keys go to `sinks`, which have neither breaker nor pace."""

    def __init__(
        self,
        ports: Mapping[Channel, ChannelPort],
        sinks: Mapping[Channel, SimulatedChannel],
        *,
        max_per_s: Mapping[Channel, float] = MappingProxyType({}),
    ) -> None:
        self._ports = dict(ports)
        self.sinks = dict(sinks)
        guarded: dict[Channel, ChannelPort] = {
            channel: port for channel, port in self._ports.items() if channel is not Channel.PUSH
        }
        self.breakers = {channel: Breaker(port.provider) for channel, port in guarded.items()}
        self.paces = {
            channel: Pace(port.provider, max_per_s=max_per_s.get(channel, DEFAULT_MAX_PER_S))
            for channel, port in guarded.items()
        }
        self.budgets = {channel: RetryBudget() for channel in guarded}

    async def open(self) -> None:
        """Open every provider."""
        for port in (*self._ports.values(), *self.sinks.values()):
            await port.open()

    async def close(self) -> None:
        """Close every provider; call it when no send is running."""
        for port in (*self._ports.values(), *self.sinks.values()):
            await port.close()

    def heed(self, orders: Mapping[str, str]) -> None:
        """What operators order: `open` or `closed` by provider; a provider that is not named judges by itself."""
        for breaker in self.breakers.values():
            match orders.get(breaker.provider):
                case "open" if not breaker.is_forced:
                    breaker.force_open()
                case "closed" if not breaker.is_kept_closed:
                    breaker.keep_closed()
                case None if breaker.is_forced or breaker.is_kept_closed:
                    breaker.let_judge()

    def told(self) -> dict[str, dict[str, object]]:
        """Each breaker as operators see it, by provider."""
        return {
            breaker.provider: {
                "state": breaker.state,
                "is_forced": breaker.is_forced or breaker.is_kept_closed,
                "opened_at_s": breaker.opened_at,
                "retry_after_s": round(breaker.retry_after_s, 1),
            }
            for breaker in self.breakers.values()
        }

    def states(self) -> dict[Channel, BreakerState]:
        """The state of each configured channel's breaker, for metrics and for pausing a lane."""
        return {channel: breaker.state for channel, breaker in self.breakers.items()}

    def timeout_s(self, channel: Channel) -> float:
        """How long a send of this channel may take, waiting for its turn and retried blips included."""
        port = self._ports.get(channel)
        return (port.timeout_s if port is not None else 0.0) + 3.0

    def room(self, channel: Channel) -> int:
        """How many sends of this channel could begin at once; for push any number."""
        pace = self.paces.get(channel)
        return pace.room if pace is not None else _ANY_NUMBER

    async def send(self, channel: Channel, mode: Mode, slice_: Sequence[Outgoing]) -> list[Outcome]:
        """Send any number side by side, one outcome each, in order. Raises nothing but CancelledError."""
        port = self.sinks.get(channel) if mode is Mode.TEST else self._ports.get(channel)
        if port is None:
            return [_unconfigured(channel) for _ in slice_]
        if channel is Channel.PUSH and mode is not Mode.TEST:
            return await _answer_all(port, slice_)
        if mode is Mode.TEST:
            return list(await asyncio.gather(*(_answer(port, outgoing) for outgoing in slice_)))
        if len(slice_) == 1:  # most are: a task for each would cost more than it does
            return [await self._guarded(channel, port, slice_[0])]
        return list(await asyncio.gather(*(self._guarded(channel, port, outgoing) for outgoing in slice_)))

    async def _guarded(self, channel: Channel, port: ChannelPort, outgoing: Outgoing) -> Outcome:
        once = partial(_answer, port, outgoing)
        outcome = await self.breakers[channel].call(partial(self.paces[channel].call, partial(past_blips, once)))
        if outgoing.attempt == 1 and not isinstance(outcome, NotSent):
            self.budgets[channel].count_first()
        return outcome

    def grace(self, channel: Channel, mode: Mode, outcome: Outcome) -> Grace:
        """What a failure that may be tried again costs of the provider's retry budget; nothing where it is not the
        provider that fails."""
        breaker = self.breakers.get(channel)
        if breaker is None or mode is Mode.TEST or not (failed(outcome) or isinstance(outcome, Throttled)):
            return Grace()
        put_off_s = self.budgets[channel].turn()
        return Grace(put_off_s, is_patient=put_off_s > 0 or breaker.state is not BreakerState.CLOSED)


async def open_channels(settings: Settings, *, push: ChannelPort | None = None) -> Channels:
    """The channels that `settings` name and `push`, opened. One without a URL is not there: its deliveries rest."""
    ports: dict[Channel, ChannelPort] = {Channel.PUSH: push} if push is not None else {}
    if settings.smtp_url is not None and settings.smtp_url.get_secret_value():
        ports[Channel.EMAIL] = SmtpChannel(
            SmtpServer.parse(settings.smtp_url.get_secret_value(), settings.smtp_starttls),
            email_from=settings.email_from,
            connections=settings.smtp_connections,
            timeout_s=settings.smtp_timeout_s,
        )
    if settings.sms_url is not None and settings.sms_url.get_secret_value():
        ports[Channel.SMS] = HttpSmsChannel(
            settings.sms_url.get_secret_value(),
            sms_from=settings.sms_from,
            max_segments=settings.sms_max_segments,
            timeout_s=settings.sms_timeout_s,
        )
    limits = {Channel.EMAIL: settings.smtp_max_per_s, Channel.SMS: settings.sms_max_per_s}
    sinks = {channel: SimulatedChannel(channel) for channel in OPEN_CHANNELS}
    channels = Channels(ports, sinks, max_per_s=limits)
    await channels.open()
    return channels


async def _answer_all(port: ChannelPort, slice_: Sequence[Outgoing]) -> list[Outcome]:
    """A whole slice at once. What a channel raises against its word says nothing of what has left."""
    try:
        return await port.send(slice_)
    except Exception as error:
        _log.exception("channel.raised", provider=port.provider, size=len(slice_))
        return [Ambiguous(Reason.PROVIDER_SILENT, f"channel raised {type(error).__name__}") for _ in slice_]


async def _answer(port: ChannelPort, outgoing: Outgoing) -> Outcome:
    """One send, and at this door whatever a channel raises against its word: it may have arrived."""
    try:
        return (await port.send([outgoing]))[0]
    except Exception as error:
        _log.exception("channel.raised", provider=port.provider, delivery_id=str(outgoing.id))
        return Ambiguous(Reason.PROVIDER_SILENT, f"channel raised {type(error).__name__}")


def _unconfigured(channel: Channel) -> Outcome:
    """Transient: it rests on the ladder, ends among the dead letters where people look, and can be replayed."""
    return Transient(Reason.PROVIDER_UNCONFIGURED, f"no provider for {channel}", retry_after_s=_UNCONFIGURED_RETRY_S)
