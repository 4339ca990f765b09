"""Where a role's processor time goes: call stacks, sampled by a timer of the process itself, while it is asked to.

Switched on by a setting (a folder). SIGUSR2 begins, SIGUSR2 again ends and writes `<role>.folded`: a line per stack,
outermost call first, with how often it was found. Flame graph programs read that form. The timer counts processor time
(setitimer(2), ITIMER_PROF), so waiting is never in it; no privileges, no other process, nothing while it is off.
"""

import re
import signal
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

EVERY_S = 0.002
_ROOT = str(Path(__file__).resolve().parents[1]) + "/"
_LIBRARIES = re.compile(r"^.*/(?:site-packages|python\d+\.\d+)/")


class CallTree:
    """The samples of one process. Both handlers run in the main thread, between two steps of Python."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stacks: Counter[tuple[CodeType, ...]] = Counter()
        self._is_on = False

    def toggle(self, number: int = 0, frame: FrameType | None = None) -> None:  # noqa: ARG002  # signal handlers get both
        """Begin, or end and write."""
        self._is_on = not self._is_on
        if self._is_on:
            self._stacks.clear()
            signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
            return
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        half = self._path.with_suffix(".half")
        half.write_text("".join(f"{line} {count}\n" for line, count in self.folded().items()))
        half.replace(self._path)

    def sample(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  # signal handlers get both
        """Count the stack as it is now."""
        stack: list[CodeType] = []
        while frame is not None:
            stack.append(frame.f_code)
            frame = frame.f_back
        self._stacks[tuple(reversed(stack))] += 1

    def folded(self) -> Counter[str]:
        """The stacks as lines, without the counts."""
        lines: Counter[str] = Counter()
        for stack, count in self._stacks.items():
            lines[";".join(map(_shown, stack))] += count
        return lines


def offer_call_tree(role: str, folder: Path | None) -> None:
    """Listen for SIGUSR2, if there is a folder to write to. Only from the main thread."""
    if folder is None:
        return
    tree = CallTree(folder / f"{role}.folded")
    signal.signal(signal.SIGPROF, tree.sample)
    signal.signal(signal.SIGUSR2, tree.toggle)


def _shown(code: CodeType) -> str:
    file = _LIBRARIES.sub("", code.co_filename).removeprefix(_ROOT)
    return f"{code.co_qualname} ({file})"
