"""What a scenario came to, for people and for machines: every scenario answers in this shape."""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Result:
    """`plan` and `figures` may be dataclasses; `show` prints the tables."""

    scenario: str
    plan: Any
    versions: dict[str, str]
    figures: Any
    show: "Callable[[Console], None]"

    def document(self) -> dict[str, Any]:
        """For `--json`: {scenario, plan, machine: {cores}, versions: {program: version}, figures}.

        Each part of `figures` that was measured apart has its own `noise`; a figure that is missing is null. Units
        stand in the names.
        """
        return {
            "scenario": self.scenario,
            "plan": plain(self.plan),
            "machine": {"cores": os.cpu_count()},
            "versions": self.versions,
            "figures": plain(self.figures),
        }


def plain(value: Any) -> Any:
    """Only what JSON knows: dataclasses become objects, what is not a number null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
