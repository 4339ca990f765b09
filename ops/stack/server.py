"""A server of the local stack: a unit that one of the three URLs leads to."""

from dataclasses import dataclass, field

from ops.stack.parts import Part, Way
from ops.stack.unit import Unit


@dataclass(slots=True, kw_only=True)
class Server(Unit):
    """PostgreSQL, Redis or RabbitMQ; one that was given by URL has no programs and is never started or stopped."""

    part: Part
    way: Way
    url: str = field(repr=False)
    about: str = ""
    """What stands behind it, for the banner: `PostgreSQL 15`."""
