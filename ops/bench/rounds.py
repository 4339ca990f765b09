"""One round of sending, the same for Carillon and every peer: send, wait for the end of each, compare the ledgers."""

import math
import time
from collections import Counter
from dataclasses import dataclass, field

from domain.errors import CarillonError
from ops.bench.agreement import insist
from ops.bench.peer import Heard, Kept, Peer, Sent, Wish
from ops.bench.quantiles import quantile

SETTLE_S = 60.0


class NotAccepted(CarillonError):
    """The door took nothing, or refused what it should have taken."""


@dataclass(slots=True)
class Round:
    """What one round came to. Rates are over the accepted ones, from the first request on; times in milliseconds."""

    wanted: int = 0
    accepted: int = 0
    unasked: int = 0
    unanswered: int = 0
    door_per_s: float = math.nan
    """To the last answer of the door."""

    device_per_s: float = math.nan
    """To the last one received by the sink."""

    final_per_s: float = math.nan
    """To the last final status in the database."""

    p50_ms: float = math.nan
    p90_ms: float = math.nan
    p99_ms: float = math.nan
    """From the request to the sink."""

    statuses: dict[str, int] = field(default_factory=dict)
    is_cut: bool = False
    """Whether a deadline cut it short: what was sent by then is measured."""


async def one_round(peer: Peer, wish: Wish, *, settle_s: float = SETTLE_S) -> Round:
    """Send, settle, compare. NotAccepted when the door refuses; Disagreement when something was lost or came twice."""
    await peer.begin()
    epoch = time.time() - time.monotonic()
    sent = await peer.send(wish)
    if sent.refused or not sent.accepted:
        raise NotAccepted(
            f"{peer.name} refused {sent.refused:,} of {wish.count:,}: {sent.words or 'nothing was taken'}"
        )
    is_over = await peer.settled(sent, within_s=settle_s)
    kept, heard = await peer.kept(), await peer.heard()
    insist(peer.name if is_over else f"{peer.name}, not at an end after {settle_s:.0f} s", sent, kept, heard)
    return measured(wish, sent, kept, heard, epoch=epoch)


def measured(wish: Wish, sent: Sent, kept: Kept, heard: Heard, *, epoch: float) -> Round:
    """The figures of a round. `epoch`: what must be added to monotonic seconds to have the wall clock's."""
    count = len(sent.accepted)
    took_ms = sorted((heard.at[name] - at) * 1000 for name, at in sent.accepted.items() if name in heard.at)
    last_heard = max(heard.at.values(), default=math.nan)
    return Round(
        wanted=wish.count,
        accepted=count,
        unasked=sent.unasked,
        unanswered=sent.unanswered,
        door_per_s=_rate(count, sent.answered_at - sent.began_at),
        device_per_s=_rate(count, last_heard - sent.began_at),
        final_per_s=_rate(count, kept.last_at - epoch - sent.began_at),
        p50_ms=quantile(took_ms, 0.5),
        p90_ms=quantile(took_ms, 0.9),
        p99_ms=quantile(took_ms, 0.99),
        statuses=dict(Counter(kept.statuses.values())),
        is_cut=sent.unasked > 0,
    )


def _rate(count: int, took_s: float) -> float:
    return count / took_s if took_s > 0 else math.nan
