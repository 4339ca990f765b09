"""The figures of the sending scenarios for people: a column for each phase, and the account of processor time."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ops.bench.accounting import ORDER
from ops.bench.noise import Noise
from ops.bench.rounds import Round
from ops.bench.sending import Phase, SendFigures

_ROWS: tuple[tuple[str, Callable[[Phase], str]], ...] = (
    ("notifications accepted", lambda p: f"{p.round.accepted:,}"),
    ("per second, accepted", lambda p: rate(p.round.door_per_s)),
    ("per second, at the device", lambda p: rate(p.round.device_per_s)),
    ("per second, final in the database", lambda p: rate(p.round.final_per_s)),
    ("request → device, p50", lambda p: ms(p.round.p50_ms)),
    ("request → device, p90", lambda p: ms(p.round.p90_ms)),
    ("request → device, p99", lambda p: ms(p.round.p99_ms)),
    ("in the database", lambda p: ", ".join(f"{count:,} {status}" for status, count in p.round.statuses.items())),
    ("machine, best / middle / worst", lambda p: noise(p.noise)),
    ("disk, an fsync", lambda p: ms(p.noise.fsync_ms)),
)


def show_sending(console: Console, figures: SendFigures) -> None:
    """Print all tables of a run."""
    table = new_table("", [phase.name for phase in figures.phases])
    for name, value in _ROWS:
        table.add_row(name, *(value(phase) for phase in figures.phases))
    console.print(table)
    for phase in figures.phases:
        for words in shortfalls(phase.round):
            console.print(f"{phase.name}: {words}")
    if any(phase.cpu_us for phase in figures.phases):
        show_profile(console, {phase.name: phase.cpu_us for phase in figures.phases}, figures.idle_ms)


def shortfalls(round_: Round) -> list[str]:
    """What people must know about a phase that did not do all it was to do."""
    cut = f"cut by its deadline: {round_.unasked:,} of {round_.wanted:,} were not asked for" if round_.is_cut else ""
    silent = f"{round_.unanswered:,} got no answer in time" if round_.unanswered else ""
    return [words for words in (cut, silent) if words]


def show_profile(console: Console, cpu_us: Mapping[str, Mapping[str, float]], idle_ms: Mapping[str, float]) -> None:
    """Print what each role took per notification, a column for each of `cpu_us`."""
    table = new_table("processor time per notification", [*cpu_us, *(["idle, per second"] if idle_ms else [])])
    for role in ORDER:
        if role == "load generator":
            table.add_row("sum", *(f"{parts['sum']:,.0f} µs" for parts in cpu_us.values()), style="bold")
        idle = [f"{idle_ms[role]:.1f} ms"] if idle_ms else []
        table.add_row(role, *(f"{parts[role]:,.0f} µs" for parts in cpu_us.values()), *idle)
    console.print()
    console.print(table)


def new_table(first: str, columns: list[str]) -> Table:
    """A table as all of ours look."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column(first, no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right")
    return table


def rate(per_s: float) -> str:
    """Per second, or `none`."""
    return "none" if math.isnan(per_s) else f"{per_s:,.0f}"


def ms(value: float) -> str:
    """Milliseconds, or `none`."""
    return "none" if math.isnan(value) else f"{value:.1f} ms"


def noise(heard: Noise) -> str:
    """The three that matter."""
    return f"{heard.best_ms:.1f} / {heard.median_ms:.1f} / {heard.worst_ms:.1f} ms"


def written(figures: SendFigures, role: str, folder: Path) -> list[Path]:
    """Write the calls of `role` into `folder`: a tree for people, and the stacks for programs; where they are."""
    from ops.bench.calls import drawn, tree_of  # lazy: only for those who want one

    paths: list[Path] = []
    folder.mkdir(parents=True, exist_ok=True)
    for phase in figures.phases:
        name = f"calls-{role}-{phase.name.replace(' ', '-').replace('/', '-per-')}"
        for path, words in (
            (folder / f"{name}.folded", phase.calls or ""),
            (folder / f"{name}.txt", drawn(tree_of((phase.calls or "").splitlines()))),
        ):
            path.write_text(words)
            paths.append(path)
        phase.calls = None
    return paths
