"""What a scene is asked for."""

from collections.abc import Callable
from dataclasses import dataclass

from ops.stack.parts import StackChoice
from plumbing.settings import Settings

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """Equal seeds draw equal plans; `is_long` takes the figures of docs/guarantees.md instead of three minutes'."""

    settings: Settings
    seed: int
    is_long: bool = False
    stack: StackChoice = StackChoice.AUTO
    say: Say = lambda _: None
