"""Values that many are made of each second: frozen to the type checker, which sees all our code, and quick to make.

A frozen dataclass fills each field by a call of its own and takes three times as long to make as an ordinary one.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:
    from dataclasses import dataclass

    def value(*, frozen: bool, slots: bool) -> Any:
        """`@dataclass(frozen=True, slots=True)` without its price: equal, hashed and replaced by the same fields."""
        return dataclass(slots=slots, unsafe_hash=frozen)


__all__ = ["value"]
