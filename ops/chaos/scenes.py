"""The scenes by name. Each starts what it needs, does its harm, and answers with a verdict."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from ops.chaos import everything
from ops.chaos.asked import Asked
from ops.chaos.verdict import Verdict

Play = Callable[[Asked], Coroutine[Any, Any, Verdict]]


@dataclass(frozen=True, slots=True)
class Scene:
    """One scene. `what` is a sentence for people."""

    play: Play
    what: str


SCENES: Mapping[str, Scene] = {
    "everything": Scene(everything.play, "every role and server is killed and frozen, every wire and place troubled"),
}
"""Whoever writes a scene gives it a module of its own, and a line here."""
