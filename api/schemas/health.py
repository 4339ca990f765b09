"""How the house says that it is well."""

from typing import Literal

from api.schemas.base import Told


class Live(Told):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Dependency(Told):
    """One dependency, as asked just now."""

    name: str
    is_up: bool
    is_required: bool
    duration_ms: float
    detail: str


class Ready(Told):
    """Whether work can be taken; without Redis or RabbitMQ it still can."""

    is_ready: bool
    dependencies: list[Dependency]
