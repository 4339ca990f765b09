"""What the examples have in common: their form, and the one story that they tell."""

from typing import Any, NamedTuple

NOTIFICATION_ID = "01930b7a-6c00-7f2e-8a51-5d3c2b1a0000"
DELIVERY_ID = "01930b7a-6c00-7f2e-8a51-5d3c2b1a0001"
AT = "2027-01-31T09:00:00.000Z"
KEY = "cn_live_u4TO"
"""The first characters of the key that did it."""


class Example(NamedTuple):
    """A body that fits, and the answer to it; None where there is no JSON."""

    asked: Any = None
    told: Any = None


Examples = dict[tuple[str, str], Example]
"""By path and method."""


def page(*items: Any) -> Example:
    """The answer of a list, and its end."""
    return Example(told={"items": list(items), "next_cursor": None})
