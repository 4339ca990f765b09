"""The quick way into the ledger: one statement, no transaction around it, for a batch that meets nobody.

It writes everything or nothing. It writes when every recipient still has the version it was judged at, every
idempotency key could be locked and is new, and every dedupe window is free; else the caller takes the long way
(`once`, then `ledger.record`), which asks each of these in a statement of its own.

What it reads is as of the moment it began, which is enough for versions: whoever was answered before it was sent has
committed before it began. Keys and windows are new only if no other statement has written them since either, and that
the unique indexes know: there a conflict ends the statement with an error, and nothing is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any
from uuid import UUID

import asyncpg

from tracking import columns, once
from tracking.columns import DELIVERY, IDEMPOTENCY, NOTIFICATION, OUTBOX, WINDOW, Names
from tracking.rows import Records
from tracking.webhooks.noting import must_tell

_FREE = "(SELECT is_free FROM verdict)"
_LOCKED = "SELECT count(*) AS n FROM unnest($halves::bigint[]) k(half) WHERE pg_try_advisory_xact_lock(k.half)"
_ALL_LOCKED = "(SELECT n FROM locked) = cardinality($halves::bigint[])"
_USERS_AS_JUDGED = """NOT EXISTS (
  SELECT FROM unnest($users::uuid[], $versions::bigint[]) k(id, version) LEFT JOIN users u ON u.id = k.id
  WHERE u.version IS DISTINCT FROM k.version)"""
_OTHERS_AS_JUDGED = """NOT EXISTS (
  SELECT FROM unnest($others::uuid[], $other_versions::bigint[]) k(id, version)
  LEFT JOIN contacts c ON c.id = k.id LEFT JOIN devices v ON v.id = k.id
  WHERE coalesce(v.version, c.version) IS DISTINCT FROM k.version)"""
_KEYS_NEW = """NOT EXISTS (
  SELECT FROM unnest($keys) k(key) JOIN idempotency i ON i.key = k.key WHERE i.expires_at > now())"""
_WINDOWS_FREE = """NOT EXISTS (
  SELECT FROM unnest($windows) k(key) JOIN dedupe h ON h.key = k.key WHERE h.expires_at >= now())"""
_KEYS_WON = "(SELECT count(*) FROM remembered) = cardinality($keys)"
_WINDOWS_WON = "(SELECT count(*) FROM opened) = cardinality($windows)"
_TABLES = (("n", "notifications", NOTIFICATION), ("d", "deliveries", DELIVERY), ("o", "outbox", OUTBOX))


@dataclass(slots=True)
class Judged:
    """What the rows of a batch were judged by: versions of users, of contacts and devices without one, and windows."""

    users: Sequence[tuple[UUID, int]]
    others: Sequence[tuple[UUID, int]]
    windows: Sequence[once.Window]


async def record(conn: asyncpg.Connection, records: Records, judged: Judged) -> bool:
    """Write `records` and the windows, and commit; or write nothing and say so. Each key and window once.

    The keys' advisory locks are those of `once.lock`, held until all of it is to be seen. Raises as `ledger.record`.
    """
    if must_tell(records.deliveries):
        return False  # webhooks are told in a statement of their own: the long way
    keys, windows = columns.of_keys(records), once.of_windows(judged.windows)
    beside = [*(keys if keys[0] else ()), *(windows if windows[0] else ())]
    if _is_one(records) and all(len(values) == 1 for values in beside):
        arrays, rows = columns.NOTHING, [*(values[0] for values in beside), *columns.of_one_journey(records)]
    else:
        rows = [*beside, *columns.of_journey(records)]
        names = _names(bool(keys[0]), bool(windows[0]))
        arrays = columns.arrays_for(names, rows)
        rows = columns.travelling(names, rows, arrays)
    arguments: list[Any] = []
    for pairs in (judged.users, judged.others):
        if pairs:
            arguments += zip(*pairs, strict=True)
    if keys[0]:
        arguments.append(once.halves(keys[0]))
    text = _statement(bool(judged.users), bool(judged.others), bool(keys[0]), bool(windows[0]), arrays)
    try:
        return await conn.fetchval(text, *arguments, *rows) is not None
    except asyncpg.DivisionByZeroError:
        return False


def _is_one(records: Records) -> bool:
    return len(records.notifications) == len(records.deliveries) == len(records.outbox) == 1


@cache
def _names(with_keys: bool, with_windows: bool) -> tuple[str, ...]:
    """What the columns are called whose parameters come last."""
    return (*(IDEMPOTENCY if with_keys else ()), *(WINDOW if with_windows else ()), *NOTIFICATION, *DELIVERY, *OUTBOX)


@cache
def _statement(with_users: bool, with_others: bool, with_keys: bool, with_windows: bool, arrays: Names) -> str:
    """The statement; parts that have nothing to do are left out, since each costs PostgreSQL though it be empty.

    It returns 1 when all was written, and NULL when nothing was because it saw why not. Where a key or window was
    taken by somebody that it could not see, 1 is divided by 0.
    """
    places = _places(with_users, with_others, with_keys, with_windows)
    parts, asked, proven = list[str](), list[str](), list[str]()
    if with_keys:
        parts.append(f"locked AS MATERIALIZED ({_LOCKED})")
        asked += (_ALL_LOCKED, _KEYS_NEW)
        proven.append(_KEYS_WON)
    if with_users:
        asked.append(_USERS_AS_JUDGED)
    if with_others:
        asked.append(_OTHERS_AS_JUDGED)
    if with_windows:
        asked.append(_WINDOWS_FREE)
        proven.append(_WINDOWS_WON)
    parts.append(f"verdict AS MATERIALIZED (SELECT {' AND '.join(asked) or 'true'} AS is_free)")
    if with_keys:
        remember = columns.remember(places["keys"], where=_FREE, arrays=arrays)
        parts.append(f"remembered AS ({remember} RETURNING 1)")
    if with_windows:
        parts.append(f"opened AS ({columns.open_windows(places['windows'], where=_FREE, arrays=arrays)})")
    for name, table, types in _TABLES:
        parts.append(f"{name} AS ({columns.insert(table, types, places[table], where=_FREE, arrays=arrays)})")
    end = f"SELECT CASE WHEN is_free THEN 1 / ({' AND '.join(proven) or 'true'})::int END FROM verdict"  # noqa: S608  # our words
    text = f"WITH {', '.join(parts)} {end}"
    form = "${}::uuid[]" if "key" in arrays else "ARRAY[${}::uuid]"
    for name in sorted(places, key=len, reverse=True):
        text = text.replace(f"${name}", (form if name in ("keys", "windows") else "${}").format(places[name]))
    return text


def _places(with_users: bool, with_others: bool, with_keys: bool, with_windows: bool) -> dict[str, int]:
    """Which parameter each name stands for, or the first of its row of parameters."""
    widths = {"users": 1, "versions": 1} if with_users else {}
    widths |= {"others": 1, "other_versions": 1} if with_others else {}
    widths |= {"halves": 1, "keys": len(IDEMPOTENCY)} if with_keys else {}
    widths |= {"windows": len(WINDOW)} if with_windows else {}
    widths |= {table: len(types) for _, table, types in _TABLES}
    ends = accumulate(widths.values(), initial=1)
    return dict(zip(widths, ends, strict=False))
