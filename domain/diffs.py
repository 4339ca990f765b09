"""What differs between two JSON values, and one value changed by another: pure, and with nothing lost.

Differences are operations of RFC 6902 (`add`, `remove`, `replace`), with `was`, the value before. Changes are those of
RFC 7396: a member that is null goes, an object is merged, everything else takes its place.
"""

from collections.abc import Iterator
from typing import Any

Operation = dict[str, Any]


def diff(before: Any, after: Any, pointer: str = "") -> list[Operation]:
    """What makes `after` of `before`, in the order of its pointers. Arrays are replaced whole."""
    return list(_diff(before, after, pointer))


def merged(before: Any, patch: Any) -> Any:
    """`before` with a merge patch applied; neither is changed."""
    if not isinstance(patch, dict):
        return patch
    result = dict(before) if isinstance(before, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def _diff(before: Any, after: Any, pointer: str) -> Iterator[Operation]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted({*before, *after}):
            place = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
            if name not in after:
                yield {"op": "remove", "path": place, "was": before[name]}
            elif name not in before:
                yield {"op": "add", "path": place, "value": after[name]}
            else:
                yield from _diff(before[name], after[name], place)
    elif type(before) is not type(after) or before != after:
        yield {"op": "replace", "path": pointer, "value": after, "was": before}
