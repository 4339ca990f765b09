"""The figures for people, as one table: a row for each figure, a column for each side."""

import math
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from ops.bench.gateway import Figures, Plan

_ROWS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("devices connected", lambda f: f"{f.devices:,}"),
    ("connected in", lambda f: f"{f.connected_in_s:.1f} s"),
    ("processor time per hello", lambda f: f"{f.hello_cpu_us:,.0f} µs"),
    ("memory per idle connection", lambda f: f"{f.idle_bytes / 1024:.1f} KiB"),
    ("processor time per idle connection and second", lambda f: f"{f.idle_cpu_us:.1f} µs"),
    ("frames per second", lambda f: _rate(f)),
    ("processor time per frame", lambda f: f"{f.frame_cpu_us:.1f} µs"),
    ("request → device, p50", lambda f: _ms(f.latency_p50_ms)),
    ("request → device, p99", lambda f: _ms(f.latency_p99_ms)),
    ("of these, arrived", lambda f: f"{f.arrived:,} of {f.sent:,}"),
    ("storm: all said hello in", lambda f: f"{f.storm_s:.1f} s" + ("" if f.storm_back == f.devices else " (not all)")),
    ("storm: messages meanwhile arrived", lambda f: f"{f.storm_arrived:,} of {f.storm_sent:,}"),
    ("a device got one twice", lambda f: str(f.twice)),
    ("machine, best / middle / worst", lambda f: _noise(f)),
)


def _rate(figures: Figures) -> str:
    lost = figures.asked_frames - figures.frames
    return f"{figures.frames_per_s:,.0f}" + (f" ({lost:,} lost)" if lost else "")


def show(console: Console, plan: Plan, sides: Sequence[Figures]) -> None:
    """Print the table and what it was measured with."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("", no_wrap=True)
    for side in sides:
        table.add_column(side.side, justify="right")
    for name, value in _ROWS:
        table.add_row(name, *(value(side) for side in sides))
    console.print(table)
    console.print(
        f"\n{plan.frames:,} frames; {plan.per_s:.0f} requests/s for {plan.sends_s:.0f} s; in the storm "
        f"{plan.live_per_s:.0f}/s for {plan.live_s:.0f} s. uvicorn hands on what it is posted and keeps nothing: "
        "no consent, no database, no queue, no acknowledgement.",
        style="dim",
    )


def _ms(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.1f} ms"


def _noise(figures: Figures) -> str:
    noise = figures.noise
    return f"{noise.best_ms:.1f} / {noise.median_ms:.1f} / {noise.worst_ms:.1f} ms"
