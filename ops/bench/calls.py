"""`--call-tree`: tells a role to sample its calls during a phase, and makes a tree of them that people can read."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ops.bench.platform_side import NotMeasurable

LEAST_SHARE = 0.005
"""Smaller branches are left out of the tree; the file beside it has them all."""

_WRITTEN_WITHIN_S = 10.0


@dataclass(slots=True)
class Node:
    """A call, and what was called from it; `count` has both."""

    count: int = 0
    calls: "dict[str, Node]" = field(default_factory=dict)


@asynccontextmanager
async def sampled(pid: int, written: Path) -> AsyncIterator[None]:
    """The process samples its calls while the context lasts; its file `written` is there at the end."""
    await asyncio.to_thread(written.unlink, missing_ok=True)
    os.kill(pid, signal.SIGUSR2)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGUSR2)
    deadline = time.monotonic() + _WRITTEN_WITHIN_S
    while not await asyncio.to_thread(written.exists):
        if time.monotonic() > deadline:
            raise NotMeasurable(f"the role wrote no call tree to {written} within {_WRITTEN_WITHIN_S:.0f} s")
        await asyncio.sleep(0.05)


def tree_of(lines: Iterable[str]) -> Node:
    """The tree of folded stacks: `outermost;…;innermost count`."""
    root = Node()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        if not stack:
            continue
        node = root
        node.count += int(count)
        for call in stack.split(";"):
            node = node.calls.setdefault(call, Node())
            node.count += int(count)
    return root


def drawn(root: Node, *, least_share: float = LEAST_SHARE) -> str:
    """A line per call, indented below its caller: share of all samples, share of those in the call itself, name."""
    lines = [f"{root.count:,} samples; share of all with what it calls, share in itself, call"]
    least = max(1.0, root.count * least_share)

    def draw(node: Node, name: str, depth: int) -> None:
        own = node.count - sum(call.count for call in node.calls.values())
        lines.append(f"{node.count / root.count:6.1%} {own / root.count:6.1%}  {'  ' * depth}{name}")
        for call, below in _largest(node):
            if below.count >= least:
                draw(below, call, depth + 1)

    begin = _trunk_end(root)
    for call, below in _largest(begin):
        if below.count >= least:
            draw(below, call, 0)
    return "\n".join(lines) + "\n"


def _trunk_end(root: Node) -> Node:
    """The first call from which the samples part: what lies before is the way from the program's start to its loop."""
    node = root
    while len(node.calls) == 1:
        (only,) = node.calls.values()
        if only.count < root.count or len(only.calls) == 0:
            break
        node = only
    return node


def _largest(node: Node) -> list[tuple[str, Node]]:
    return sorted(node.calls.items(), key=lambda item: -item[1].count)
