"""What a run came to: one line of JSON for machines, a table for people, and an exit code."""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ops.chaos.checker import Finding, Findings

if TYPE_CHECKING:
    from rich.console import Console

_SHOWN_AT_MOST = 5
EXIT_FAULTS = 1

Figure = int | float | str | None


@dataclass(frozen=True, slots=True)
class Goal:
    """One sentence that must hold, and what was measured."""

    name: str
    is_met: bool
    measured: Figure


@dataclass(slots=True)
class Verdict:
    """Findings of the checker, goals of the scene, and figures; units stand in the figures' names."""

    scene: str
    seed: int
    findings: Findings = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Whether all agrees, and every goal was met."""
        return not any(self.findings.values()) and all(goal.is_met for goal in self.goals)

    @property
    def exit_code(self) -> int:
        """For the shell."""
        return 0 if self.is_good else EXIT_FAULTS

    def expect(self, name: str, is_met: bool, measured: Figure = None) -> None:
        """Note a goal."""
        self.goals.append(Goal(name, is_met, measured))

    def note(self, kind: Finding, examples: list[str]) -> None:
        """Some of that kind were found, if any."""
        if examples:
            self.findings.setdefault(kind, []).extend(examples)

    def line(self) -> str:
        """{scene, seed, verdict: pass | fail, <a count per finding>, figures, goals: {name: [met, measured]}}."""
        document: dict[str, Any] = {
            "scene": self.scene,
            "seed": self.seed,
            "verdict": "pass" if self.is_good else "fail",
        }
        document |= {str(kind): len(self.findings.get(kind, ())) for kind in Finding}
        document["figures"] = self.figures
        document["goals"] = {goal.name: [goal.is_met, goal.measured] for goal in self.goals}
        return json.dumps(document, allow_nan=False)

    def show(self, console: "Console") -> None:
        """Print what was measured, what was found with some examples, and the goals."""
        from rich.table import Table  # lazy: half of a `--help`

        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), show_header=False)
        for name, figure in self.figures.items():
            table.add_row(name.replace("_", " "), _words(figure))
        for kind in Finding:
            table.add_row(str(kind).replace("_", " "), str(len(self.findings.get(kind, ()))))
        for goal in self.goals:
            table.add_row(goal.name, f"{'met' if goal.is_met else 'MISSED'} ({_words(goal.measured)})")
        console.print(table)
        for kind, examples in self.findings.items():
            console.print(f"\n{kind}: {len(examples)}", style="bold")
            for example in examples[:_SHOWN_AT_MOST]:
                console.print(f"  {example}", markup=False)
        console.print(f"\n{self.scene}: {'all agrees' if self.is_good else 'NOT AS IT MUST BE'} (seed {self.seed})")


def _words(figure: Figure) -> str:
    if isinstance(figure, float):
        return f"{figure:,.1f}"
    return f"{figure:,}" if isinstance(figure, int) and not isinstance(figure, bool) else str(figure)
