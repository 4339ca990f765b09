"""What `carillon bench` was asked for: the scenario and its options, as they stand on the command line."""

from dataclasses import dataclass
from enum import StrEnum

from ops.stack.parts import StackChoice

ROLES = ("api", "worker", "gateway", "scheduler")
"""Those whose calls can be sampled."""


class Scenario(StrEnum):
    """What can be measured."""

    SINGLE = "single"
    BULK = "bulk"
    LATENCY = "latency"
    RENDER = "render"
    READ = "read"
    BACKLOG = "backlog"
    GATEWAY = "gateway"
    DOOR = "door"
    LANES = "lanes"
    EMAIL = "email"


STACKS = (StackChoice.AUTO, StackChoice.PRIVATE, StackChoice.EMBEDDED)
"""Servers of a benchmark's own, real or not."""

COMPARABLE = (Scenario.SINGLE, Scenario.BULK)
"""Those that peers can do as well."""

SENDING = (Scenario.SINGLE, Scenario.BULK, Scenario.LATENCY)
"""Those whose phases are rounds of sending: the calls of a role can be sampled."""

PROFILED = (*SENDING, Scenario.DOOR)
"""Those that can charge processor time to each role."""


@dataclass(frozen=True, slots=True)
class Asked:
    """All options; each scenario takes those that concern it. None: as the scenario has it."""

    scenario: Scenario
    count: int | None = None
    connections: int | None = None
    devices: int | None = None
    rates: tuple[float, ...] = (300.0, 500.0)
    seconds: float = 10.0
    within_s: float = 60.0
    frames: int = 100_000
    rows: int | None = None
    envelope: int = 500
    with_profile: bool = False
    call_tree_of: str | None = None
    is_compared: bool = False
    stack: StackChoice = StackChoice.AUTO
    rounds: int = 3
