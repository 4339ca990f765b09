"""`--compare`: Carillon and the peers in turn, round by round, each alone on the machine; figures beside each other.

A side is started for its round and ended after it, so that nothing of the others runs meanwhile (decision 0022). A
ratio is taken within one round, where the machine was the same, and the median of these is the figure.
"""

import asyncio
import math
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ops.bench.noise import Noise, listen
from ops.bench.peer import PeerFactory, Wish
from ops.bench.rounds import Round, one_round

ROUNDS = 3
_WARM = 200
_SETTLE_S = 180.0


@dataclass(frozen=True, slots=True)
class Lap:
    """One side's turn in one round."""

    side: str
    number: int
    noise: Noise
    round: Round

    @property
    def per_s(self) -> float:
        """From the first request to the last final status in the database."""
        return self.round.final_per_s


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and most of some figures; nan of none."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> "Spread":
        """What of `figures` is a number."""
        known = [figure for figure in figures if not math.isnan(figure)]
        if not known:
            return cls(math.nan, math.nan, math.nan)
        return cls(statistics.median(known), min(known), max(known))


@dataclass(slots=True)
class Comparison:
    """All laps; the first side is the one whose ratios to the others are asked for."""

    sides: tuple[str, ...]
    wish: Wish
    laps: list[Lap] = field(default_factory=list)
    versions: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def rate(self, side: str) -> Spread:
        """Notifications per second."""
        return Spread.of([lap.per_s for lap in self.laps if lap.side == side])

    def ratio(self, peer: str) -> Spread:
        """The first side's rate by `peer`'s, round by round."""
        rates = {(lap.side, lap.number): lap.per_s for lap in self.laps}
        pairs = [(rates.get((self.sides[0], number)), rates.get((peer, number))) for number in self._numbers()]
        return Spread.of([ours / theirs for ours, theirs in pairs if ours and theirs])

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "rates": {side: self.rate(side) for side in self.sides},
            "ratios": {side: self.ratio(side) for side in self.sides[1:]},
            "laps": self.laps,
            "versions": self.versions,
        }

    def _numbers(self) -> list[int]:
        return sorted({lap.number for lap in self.laps})


async def compare(
    sides: Mapping[str, PeerFactory],
    wish: Wish,
    *,
    recipients: int,
    folder: Path,
    say: Callable[[str], None],
    rounds: int = ROUNDS,
) -> Comparison:
    """Each side once per round, in the order given. Disagreement when a side's ledgers do not agree."""
    comparison = Comparison(tuple(sides), wish)
    for number in range(1, rounds + 1):
        for name, open_side in sides.items():
            own = folder / f"{number}-{len(comparison.laps)}"
            own.mkdir()
            say(f"round {number} of {rounds}: {name}")
            async with open_side(own) as peer:
                await peer.prepare(recipients)
                comparison.versions[name] = await peer.versions()
                await one_round(peer, Wish(_WARM, wish.connections, wish.per_request), settle_s=_SETTLE_S)
                noise = listen()
                lap = Lap(name, number, noise, await one_round(peer, wish, settle_s=_SETTLE_S))
            comparison.laps.append(lap)
            say(f"round {number} of {rounds}: {name}: {lap.per_s:,.0f}/s")
            await asyncio.to_thread(shutil.rmtree, own, ignore_errors=True)
    return comparison


def show(console: Console, comparison: Comparison) -> None:
    """The table: a row for each side."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("notifications/s, to the final status", no_wrap=True)
    for name in ("median", "least", "most", f"{comparison.sides[0]} is", "least", "most", "machine, middle / worst"):
        table.add_column(name, justify="right", no_wrap=True)
    for side in comparison.sides:
        rate = comparison.rate(side)
        ratio = comparison.ratio(side) if side != comparison.sides[0] else None
        times = (ratio.median, ratio.least, ratio.most) if ratio else ()
        noises = [lap.noise for lap in comparison.laps if lap.side == side]
        machine = (
            f"{statistics.median(noise.median_ms for noise in noises):.1f} / "
            f"{max(noise.worst_ms for noise in noises):.1f} ms"
            if noises
            else ""
        )
        table.add_row(
            side,
            *(_rate(figure) for figure in (rate.median, rate.least, rate.most)),
            *([f"{figure:.1f}x" for figure in times] or [""] * 3),
            machine,
        )
    console.print(table)
    wish = comparison.wish
    way = "one to a request" if wish.per_request == 1 else f"{wish.per_request:,} to a request"
    console.print(
        f"\nas many as were answered in {wish.within_s:g} s, {way}, {wish.connections} connections; "
        f"{len({lap.number for lap in comparison.laps})} rounds in turn, each side alone; "
        "a ratio is taken within a round.",
        style="dim",
    )


def _rate(figure: float) -> str:
    return "none" if math.isnan(figure) else f"{figure:,.0f}"
