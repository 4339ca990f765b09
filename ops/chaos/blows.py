"""What can be done to a platform, and the plan of a run: which blow falls after which, drawn from a seed."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from plumbing.failpoints import Failpoint


class Victim(StrEnum):
    """Who can be hit, by the name under which it runs."""

    API = "api-1"
    WORKER = "worker-1"
    GATEWAY = "gateway-1"
    SCHEDULER = "scheduler-1"
    DOOR = "door-1"
    RABBITMQ = "rabbitmq"
    REDIS = "redis"
    POSTGRES = "postgres"


class Harm(StrEnum):
    """What is done to a victim."""

    KILL = "kill -9"
    FREEZE = "SIGSTOP"


class Snag(StrEnum):
    """What is done to a wire for a moment; docs of `proxy.py` say what each means."""

    DELAY = "delay"
    REFUSE = "refuse"
    BLACK_HOLE = "black_hole"
    HALF_OPEN = "half_open"
    RESET = "reset"
    CUT = "cut_after"


ROLES = (Victim.API, Victim.WORKER, Victim.GATEWAY, Victim.SCHEDULER, Victim.DOOR)
SERVERS = (Victim.RABBITMQ, Victim.REDIS, Victim.POSTGRES)

FREEZE_S = 4.0
SNAG_S = 2.0


@dataclass(frozen=True, slots=True)
class Strike:
    """A signal to a process; a frozen one goes on after FREEZE_S."""

    victim: Victim
    harm: Harm

    def __str__(self) -> str:
        return f"{self.harm} of {self.victim}"


@dataclass(frozen=True, slots=True)
class Fall:
    """All of these are killed at one moment."""

    victims: tuple[Victim, ...]

    def __str__(self) -> str:
        return f"{Harm.KILL} of {len(self.victims)} at once"


@dataclass(frozen=True, slots=True)
class Hitch:
    """A fault of the wire with that name, for SNAG_S."""

    wire: str
    snag: Snag

    def __str__(self) -> str:
        return f"{self.snag} between roles and {self.wire}"


@dataclass(frozen=True, slots=True)
class Arming:
    """A failpoint: the next process that gets there ends there."""

    failpoint: Failpoint

    def __str__(self) -> str:
        return f"failpoint {self.failpoint}"


Blow = Strike | Fall | Hitch | Arming


def plan(
    seed: int,
    *,
    kills: Mapping[Victim, int],
    freezes: Mapping[Victim, int],
    hitches: Sequence[Hitch],
    failpoints: Sequence[Failpoint] = tuple(Failpoint),
) -> list[Blow]:
    """All blows in an order that the seed draws; at the end all roles and Redis fall at one moment.

    Blows of one victim keep apart from each other as the others allow: each shall meet a platform that works.
    """
    rng = random.Random(seed)
    piles: list[list[Blow]] = [[Arming(failpoint) for failpoint in rng.sample(failpoints, len(failpoints))]]
    piles += [[Strike(victim, Harm.KILL)] * count for victim, count in kills.items()]
    piles += [[Strike(victim, Harm.FREEZE)] * count for victim, count in freezes.items()]
    piles.append(rng.sample(hitches, len(hitches)))
    placed = [((place + rng.random()) / len(pile), blow) for pile in piles if pile for place, blow in enumerate(pile)]
    ordered = [blow for _, blow in sorted(placed, key=lambda each: each[0])]
    return [*ordered, Fall((*ROLES, Victim.REDIS))]
