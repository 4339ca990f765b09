"""Processor time per role, by the operating system's account (Linux, /proc): what others do hardly changes it.

A role is the process it began with and all that descends from it, up to the next role. Children that have ended stand
in the account of the parent that waited for them, so a backend of PostgreSQL that came and went is not forgotten.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ORDER = ("api", "door", "worker", "gateway", "scheduler", "PostgreSQL", "Redis", "broker", "others", "load generator")
"""As they stand in the tables."""

PLATFORM = ORDER[:-1]
"""What is summed: the load generator would not run elsewhere."""

_ROLES = {
    "api": "api",
    "door": "door",
    "worker": "worker",
    "gateway": "gateway",
    "scheduler": "scheduler",
    "postgres": "PostgreSQL",
    "redis": "Redis",
    "rabbitmq": "broker",
    "epmd": "broker",
    "devices": "load generator",
    "load": "load generator",
}


@dataclass(frozen=True, slots=True)
class Process:
    """One process as /proc tells it: `own_s` it has used itself, `ended_s` its children that are gone."""

    parent: int
    own_s: float
    ended_s: float

    @classmethod
    def of(cls, stat: str, *, ticks_per_s: float) -> "Process":
        """From the line of /proc/PID/stat; the name in it may hold anything (proc(5))."""
        fields = stat.rpartition(")")[2].split()
        user, system, ended_user, ended_system = (int(field) / ticks_per_s for field in fields[11:15])
        return cls(int(fields[1]), user + system, ended_user + ended_system)


def used_s(pids: Mapping[str, int]) -> dict[str, float]:
    """Seconds of processor time that each role has used so far; `pids` as `Peer.pids`, and ourselves as `load`."""
    return by_role(_processes(), {**pids, "load": os.getpid()})


def by_role(processes: Mapping[int, Process], pids: Mapping[str, int]) -> dict[str, float]:
    """The account of each role, by the names of ORDER; a process that nobody knows is not counted."""
    children: dict[int, list[int]] = {}
    for pid, process in processes.items():
        children.setdefault(process.parent, []).append(pid)
    roots = set(pids.values())
    sums = dict.fromkeys(ORDER, 0.0)
    for name, root in pids.items():
        sums[_ROLES.get(name, "others")] += _family_s(root, processes, children, roots)
    return sums


def per_notification_us(before: Mapping[str, float], after: Mapping[str, float], count: int) -> dict[str, float]:
    """Microseconds per notification and role, and their `sum` without the load generator."""
    parts = {role: (after[role] - before[role]) * 1e6 / max(1, count) for role in ORDER}
    return {**parts, "sum": sum(parts[role] for role in PLATFORM)}


def _family_s(root: int, processes: Mapping[int, Process], children: Mapping[int, list[int]], roots: set[int]) -> float:
    process = processes.get(root)
    if process is None:
        return 0.0
    ended_s = 0.0 if root == os.getpid() else process.ended_s  # ours have roles of their own
    rest = (child for child in children.get(root, ()) if child not in roots)
    return process.own_s + ended_s + sum(_family_s(child, processes, children, roots) for child in rest)


def _processes() -> dict[int, Process]:
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    found: dict[int, Process] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                found[int(folder.name)] = Process.of((folder / "stat").read_text(), ticks_per_s=ticks_per_s)
            except OSError:
                continue  # it has just ended
    return found
