"""Reading a JSON object field by field: strict types, bounded lengths, every fault with its pointer.

It gathers faults instead of stopping at the first, so that a sender can repair a request in one go.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from api.strict_json import escape
from domain.errors import Fault, RequestRefused

Choice = TypeVar("Choice", bound=StrEnum)

NOT_YET = "not_available_yet"


class Faults(list[Fault]):
    """What is wrong with a request so far."""

    lacks_a_feature: bool = False
    """Whether something was asked for that a later release will have."""

    reason: str = "invalid_request"
    """What the refusal is called when there is but one fault."""

    def add(self, pointer: str, detail: str) -> None:
        self.append(Fault(pointer, detail))

    def named(self, reason: str, pointer: str, detail: str) -> None:
        """A fault with a name of its own, by which a sender can tell it when nothing else is wrong."""
        self.reason = reason
        self.append(Fault(pointer, detail))

    def not_yet(self, pointer: str, what: str) -> None:
        """Something that a later release will have is never accepted and ignored."""
        self.lacks_a_feature = True
        self.insert(0, Fault(pointer, f"{what} is not available yet"))

    def raise_if_any(self) -> None:
        """RequestRefused(422): not_available_yet when a later feature was asked for, else what is wrong."""
        if self:
            reason = NOT_YET if self.lacks_a_feature else self.reason if len(self) == 1 else Faults.reason
            raise RequestRefused(reason, f"{self[0].pointer or 'the body'}: {self[0].detail}", faults=tuple(self))


class Fields:
    """One JSON object being read. Each method takes a field away; `end` complains about what nobody asked for."""

    def __init__(self, document: Mapping[str, Any], pointer: str, faults: Faults) -> None:
        self._left = dict(document)
        self.pointer = pointer
        self.faults = faults

    def has(self, name: str) -> bool:
        """Whether the field stands there with a value; null counts as absent."""
        return self._left.get(name) is not None

    def take(self, name: str) -> Any:
        """The field as it stands, or None."""
        return self._left.pop(name, None)

    def fault(self, name: str, detail: str) -> None:
        """Complain about a field."""
        self.faults.add(f"{self.pointer}/{escape(name)}", detail)

    def text(self, name: str, longest: int, *, may_be_empty: bool = False) -> str | None:
        """A string of at most `longest` characters; None when absent or wrong."""
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, str):
            self.fault(name, f"must be a string, not {kind_of(value)}")
        elif not value and not may_be_empty:
            self.fault(name, "must not be empty")
        elif len(value) > longest:
            self.fault(name, f"has {len(value)} characters, at most {longest} are allowed")
        else:
            return value
        return None

    def whole(self, name: str, lowest: int, highest: int) -> int | None:
        """A whole number within bounds; `true` and "12" are none."""
        value = self.take(name)
        if value is None:
            return None
        if type(value) is not int:
            self.fault(name, f"must be a whole number, not {kind_of(value)}")
        elif not lowest <= value <= highest:
            self.fault(name, f"must be from {lowest} to {highest}")
        else:
            return value
        return None

    def choice(self, name: str, choices: type[Choice]) -> Choice | None:
        """One member of a closed set."""
        value = self.take(name)
        if value is None:
            return None
        try:
            return choices(value)
        except (ValueError, TypeError):
            self.fault(name, f"must be one of {', '.join(choices)}")
            return None

    def object(self, name: str) -> "Fields | None":
        """A JSON object, to be read field by field."""
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.fault(name, f"must be an object, not {kind_of(value)}")
            return None
        return Fields(value, f"{self.pointer}/{escape(name)}", self.faults)

    def not_yet(self, name: str, what: str) -> None:
        """A field that a later release will have: refused when it stands there."""
        if self.take(name) is not None:
            self.faults.not_yet(f"{self.pointer}/{escape(name)}", what)

    def end(self) -> None:
        """Complain about every field that nobody took."""
        for name in self._left:
            self.fault(name, "unknown field")


def kind_of(value: object) -> str:
    """What JSON calls the type of a value."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    kinds = {str: "a string", list: "an array", dict: "an object", type(None): "null"}
    return kinds.get(type(value), type(value).__name__)
