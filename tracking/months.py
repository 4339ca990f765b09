"""Statements of the hot path by the names of this month's partitions, where all their ids are of it.

A statement on a partitioned table opens each of its partitions, whatever it will read: for one row that is a quarter of
what it costs. Only the current month is named: its partitions are there, and nobody drops them.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

from domain.ids import moment_of
from plumbing.partitions import partition_name

_TABLES = re.compile(r"\b(UPDATE|JOIN|INTO) (deliveries|notifications|events)\b")


def of_this_month(statement: str, lowest: UUID, highest: UUID, *, now: datetime) -> str:
    """The statement for ids between these two: with names when they were all made in the month of `now`."""
    now = now.astimezone(UTC)
    month = now.year, now.month
    if any((made := moment_of(one)).year != month[0] or made.month != month[1] for one in (lowest, highest)):
        return statement
    return _named(statement, *month)


@lru_cache(maxsize=32)
def _named(statement: str, year: int, month: int) -> str:
    at = datetime(year, month, 1, tzinfo=UTC)
    return _TABLES.sub(lambda found: f"{found[1]} {partition_name(found[2], at)}", statement)
