"""What the doctor says: one finding per thing looked at, how bad it is, and what to do about it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How bad it is. Only `FAIL` makes the command fail."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `name` is stable; `advice` says what to do, and is empty where nothing is."""

    name: str
    level: Level
    words: str
    advice: str = ""


def ok(name: str, words: str) -> Finding:
    """Nothing to do."""
    return Finding(name, Level.OK, words)


def warn(name: str, words: str, advice: str) -> Finding:
    """Worth a look this week."""
    return Finding(name, Level.WARN, words, advice)


def bad(name: str, words: str, advice: str) -> Finding:
    """Broken, or about to be."""
    return Finding(name, Level.FAIL, words, advice)


def graded(
    name: str, value: float, words: str, advice: str, *, warn_over: float, fail_over: float | None = None
) -> Finding:
    """By how much: above `fail_over` it is broken, above `warn_over` worth a look."""
    if fail_over is not None and value > fail_over:
        return bad(name, words, advice)
    return warn(name, words, advice) if value > warn_over else ok(name, words)


def as_document(findings: Iterable[Finding]) -> dict[str, Any]:
    """All findings and the worst of them, for programs."""
    told = [asdict(finding) for finding in findings]
    worst = next(
        (level for level in (Level.FAIL, Level.WARN) if any(each["level"] == level for each in told)), Level.OK
    )
    return {"verdict": worst, "findings": told}
