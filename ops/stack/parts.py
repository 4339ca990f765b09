"""The words of the local stack: its three parts, the three ways to have each, and what failing to have one means."""

from enum import StrEnum

from domain.errors import Misconfigured


class Part(StrEnum):
    """What the platform stands on."""

    POSTGRES = "postgres"
    REDIS = "redis"
    RABBITMQ = "rabbitmq"

    @property
    def label(self) -> str:
        """The name people know it by."""
        return _TITLES[self]

    @property
    def variable(self) -> str:
        """The environment variable that names one that runs already."""
        return _VARIABLES[self]


class Way(StrEnum):
    """How a part is had: given by URL, a real server started privately, or one that came with our packages."""

    URL = "url"
    PRIVATE = "private"
    EMBEDDED = "embedded"

    @property
    def is_real(self) -> bool:
        """Whether RabbitMQ, Redis and PostgreSQL themselves answer, not a stand-in."""
        return self is not Way.EMBEDDED


class StackChoice(StrEnum):
    """What `--stack` takes. `auto` picks per part: its URL if set, else a real server if found, else embedded."""

    AUTO = "auto"
    PRIVATE = "private"
    EMBEDDED = "embedded"
    URL = "url"


class NotStarted(Misconfigured):
    """A server of the local stack did not come up; the message says which, where its log is, and its last words."""


_TITLES = {Part.POSTGRES: "PostgreSQL", Part.REDIS: "Redis", Part.RABBITMQ: "RabbitMQ"}
_VARIABLES = {
    Part.POSTGRES: "CARILLON_DATABASE_URL",
    Part.REDIS: "CARILLON_REDIS_URL",
    Part.RABBITMQ: "CARILLON_AMQP_URL",
}
