"""SQL in the words of the domain: `<queued>`, `<WAITING>`, `<reason.expired>`, `<event.cancelled>` become codes.

It only spells constants of ours; values from outside are always parameters.
"""

import re

from domain.delivery import OPEN, PROBLEMS, RANKS, WAITING, DeliveryStatus
from domain.lanes import Channel
from domain.notification import Mode
from domain.reasons import Reason
from tracking.events import EventKind


def _set(statuses: tuple[DeliveryStatus, ...]) -> str:
    return "(" + ",".join(str(status.code) for status in statuses) + ")"


def _ranks() -> str:
    """An array literal in which the place of a status's code holds its rank."""
    by_code = {status.code: rank for status, rank in RANKS.items()}
    ranks = ",".join(str(by_code.get(code, 0)) for code in range(1, max(by_code) + 1))
    return f"('{{{ranks}}}'::smallint[])"


_WORDS = {
    **{status.value: str(status.code) for status in DeliveryStatus},
    **{f"channel.{channel.value}": str(channel.code) for channel in Channel},
    **{f"mode.{mode.value}": str(mode.code) for mode in Mode},
    **{f"reason.{reason.value}": str(reason.code) for reason in Reason},
    **{f"event.{kind.value}": str(kind.code) for kind in EventKind},
    "WAITING": _set(WAITING),
    "OPEN": _set(OPEN),
    "PROBLEMS": _set(PROBLEMS),
    "RANKS": _ranks(),
}
_WORD = re.compile(r"<([A-Za-z][A-Za-z_.]*)>")


def sql(text: str) -> str:
    """`text` with every word replaced by its code; KeyError, at import, for a word nobody knows."""
    return _WORD.sub(lambda match: _WORDS[match[1]], text)
