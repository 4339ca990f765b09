"""The scenes by name. Each starts what it needs, does its harm, and answers with a verdict."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from ops.chaos import (
    broker_trouble,
    deploy,
    everything,
    mutations,
    poison,
    postgres_trouble,
    provider_trouble,
    redis_trouble,
    soak,
    twins,
)
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
    "redis": Scene(redis_trouble.play, "Redis is dead, frozen, and forgets everything again and again"),
    "broker": Scene(broker_trouble.play_away, "RabbitMQ is away: for 20 s, or for 5 minutes"),
    "alarm": Scene(broker_trouble.play_alarm, "RabbitMQ's memory alarm blocks whoever publishes"),
    "half-open": Scene(broker_trouble.play_half_open, "RabbitMQ hears, and is not heard"),
    "postgres": Scene(postgres_trouble.play_frozen, "PostgreSQL is frozen for 20 s"),
    "slow": Scene(postgres_trouble.play_slow, "PostgreSQL answers 200 ms late, under three times the load"),
    "provider": Scene(provider_trouble.play_down, "the SMS provider answers 503: for 40 s, or for 10 minutes"),
    "ambiguous": Scene(provider_trouble.play_ambiguous, "one SMS in twenty is taken, and nobody says so"),
    "poison": Scene(poison.play, "some messages kill every process that works on them; nobody else is buried"),
    "twins": Scene(twins.play, "each request is sent by five twins at once, and is one notification"),
    "deploy": Scene(deploy.play_deploy, "every process is replaced in turn, and nobody notices"),
    "leader": Scene(deploy.play_leader, "the leading scheduler falls asleep: for 25 s, or a minute"),
    "soak": Scene(soak.play, "a fault every 20 s, for 2 minutes or 20, and nobody's memory may grow"),
    "mutations": Scene(mutations.play, "each safeguard is taken out in turn, and the tests that hold it must turn red"),
}
"""Whoever writes a scene gives it a module of its own, and a line here."""
