"""Whether a request's data fits a message: what its words need, and what its schema says."""

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, cast

from jsonschema.exceptions import ValidationError

from domain.errors import Fault
from domain.lanes import Channel
from templates.catalog import Message

MAX_FAULTS = 50


def check(message: Message, channels: Iterable[Channel], data: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with `data` for these channels, each with a pointer into the request; more than needed is fine.

    A needed value that is null counts as missing. What lies deeper than the schema says, only rendering can know.
    """
    needed = [name for channel in channels for name in message.variables(channel) if data.get(name) is None]
    if not needed and message.quick_yes is not None and message.quick_yes(data):
        return []
    faults = {f"/data/{_escape(name)}": f"{name} is missing: {message.name} needs it" for name in sorted(needed)}
    for error in islice(message.validator.iter_errors(data), MAX_FAULTS) if message.validator is not None else ():
        for pointer, detail in _pointed(error):
            faults.setdefault(pointer, detail)
    return [Fault(pointer, detail) for pointer, detail in faults.items()]


def _pointed(error: ValidationError) -> list[tuple[str, str]]:
    """A fault of the schema as pointers into the request; what is missing is pointed at by its own name."""
    place = "/data" + "".join(f"/{_escape(str(step))}" for step in error.absolute_path)
    if error.validator == "required":
        wanted = cast("list[str]", error.validator_value)
        absent = [name for name in wanted if name not in cast("dict[str, Any]", error.instance)]
        return [(f"{place}/{_escape(name)}", f"{name} is missing") for name in absent]
    return [(place, _broken_rule(error))]


def _broken_rule(error: ValidationError) -> str:
    """Which rule of the schema, never the value: that may be a code to sign in with, and refusals are logged by many.

    jsonschema's own message begins with the value.
    """
    rule = error.validator_value
    told = "" if isinstance(rule, dict) else f": {json.dumps(rule, ensure_ascii=False)}"
    return f"does not fit {error.validator or 'the schema'}{told}"[:200]


def _escape(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")
