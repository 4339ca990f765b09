"""Whether the door, the database and the sink tell the same story about a round: nothing lost, nothing twice."""

from collections import Counter

from domain.errors import CarillonError
from ops.bench.peer import Heard, Kept, Sent

_SHOWN = 3


class Disagreement(CarillonError):
    """The ledgers do not agree: figures of such a run are worth nothing."""


def differences(sent: Sent, kept: Kept, heard: Heard) -> list[str]:
    """Every way in which they differ, one clause each; nothing when they agree.

    A request without an answer may have been taken: so many more than the accepted ones may be in the database.
    """
    accepted, written = sent.accepted.keys(), kept.statuses.keys()
    ended = {name for name, status in kept.statuses.items() if status in kept.final}
    others = Counter(status for status in kept.statuses.values() if status not in kept.final)
    found = [
        _clause(len(accepted - written), "accepted but not in the database", accepted - written),
        _clause(max(0, len(written - accepted) - sent.unanswered), "in the database but never accepted", set()),
        *(_clause(count, f"{status} in the database", set()) for status, count in sorted(others.items())),
        _clause(len(ended - heard.at.keys()), "final in the database but never received", ended - heard.at.keys()),
        _clause(len(heard.at.keys() - written), "received but not in the database", heard.at.keys() - written),
        _clause(heard.twice, "received twice", set()),
    ]
    return [clause for clause in found if clause]


def insist(what: str, sent: Sent, kept: Kept, heard: Heard) -> None:
    """Disagreement, in one line, when they differ."""
    if found := differences(sent, kept, heard):
        raise Disagreement(f"{what}: the ledgers do not agree: {'; '.join(found)} (of {len(sent.accepted):,} accepted)")


def _clause(count: int, words: str, names: set[str]) -> str:
    shown = f" ({', '.join(sorted(names)[:_SHOWN])}{', …' if len(names) > _SHOWN else ''})" if names else ""
    return f"{count:,} {words}{shown}" if count else ""
