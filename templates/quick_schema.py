"""The quick look at a message's data: a schema of plain keywords becomes functions that say yes only where jsonschema
would find nothing.

A no says nothing: jsonschema looks again, and words the refusal. So do schemas with any other keyword.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from types import NoneType
from typing import Any, TypeAlias

Check: TypeAlias = Callable[[Any], bool]

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (NoneType,),
    "object": (dict,),
    "array": (list,),
}
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SILENT = frozenset({"$schema", "$comment", "title", "description", "default", "examples", "format", "deprecated"})
"""What jsonschema reads past: `format` too, since it is given no checker of formats."""


class _Unsure(Exception):
    """A schema that is left to jsonschema."""


def quick_yes(schema: Mapping[str, Any]) -> Check | None:
    """A look at data by this schema (Draft 2020-12, found valid), or None where only jsonschema can tell."""
    try:
        return _compile(schema)
    except (_Unsure, re.error, RecursionError):
        return None


def _compile(schema: object) -> Check:
    if not isinstance(schema, dict) or schema.get("$schema", _DRAFT) != _DRAFT:
        raise _Unsure
    wanted = schema.get("type", list(_TYPES))
    names = [wanted] if isinstance(wanted, str) else wanted
    parts = {kind: list[Check]() for name in names for kind in _TYPES[name]}
    for keyword, setting in schema.items():
        if keyword == "type" or keyword in _SILENT:
            continue
        if keyword not in _KEYWORDS:
            raise _Unsure
        kinds, make = _KEYWORDS[keyword]
        check = make(setting)
        for kind in kinds:
            if kind in parts:
                parts[kind].append(check)
    return partial(_look, {kind: tuple(checks) for kind, checks in parts.items()})


def _look(parts: Mapping[type, tuple[Check, ...]], value: Any) -> bool:
    checks = parts.get(type(value))
    if checks is None:
        return False
    for check in checks:  # noqa: SIM110  # a generator costs more than most checks
        if not check(value):
            return False
    return True


def _at_least(least: float) -> Check:
    return lambda value: bool(value >= least)


def _at_most(most: float) -> Check:
    return lambda value: bool(value <= most)


def _at_least_long(least: float) -> Check:
    return lambda value: len(value) >= least


def _at_most_long(most: float) -> Check:
    return lambda value: len(value) <= most


def _fits(pattern: str) -> Check:
    search = re.compile(pattern).search
    return lambda value: search(value) is not None


def _is_one_of(values: list[Any]) -> Check:
    """Of texts alone: numbers are equal to others in more than one way."""
    words = frozenset(value for value in values if isinstance(value, str))
    return lambda value: type(value) is str and value in words


def _has(names: list[str]) -> Check:
    required = frozenset(names)
    return lambda value: required <= value.keys()


def _members(schemas: Mapping[str, object]) -> Check:
    checks = [(name, _compile(schema)) for name, schema in schemas.items()]

    def look(value: Mapping[str, Any]) -> bool:
        for name, check in checks:  # noqa: SIM110  # a generator costs more than most checks
            if name in value and not check(value[name]):
                return False
        return True

    return look


def _items(schema: object) -> Check:
    check = _compile(schema)
    return lambda value: all(map(check, value))


_KEYWORDS: dict[str, tuple[tuple[type, ...], Callable[[Any], Check]]] = {
    "minimum": ((int, float), _at_least),
    "maximum": ((int, float), _at_most),
    "minLength": ((str,), _at_least_long),
    "maxLength": ((str,), _at_most_long),
    "pattern": ((str,), _fits),
    "enum": ((str, int, float, bool, NoneType, dict, list), _is_one_of),
    "required": ((dict,), _has),
    "properties": ((dict,), _members),
    "minItems": ((list,), _at_least_long),
    "maxItems": ((list,), _at_most_long),
    "items": ((list,), _items),
}
"""The keywords that are understood here: the types that each speaks of, and what makes its check."""
