"""The gate of duplicates: the first holder of a window sends, the others point at it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from uuid import UUID

import asyncpg

from domain.ids import uuid_of
from domain.notification import Mode
from fanout.cases import Case
from fanout.gates.recipient import identity
from fanout.gates.verdicts import wishes_window
from fanout.plan import mark_duplicate, would_send
from tracking import once

Rivals = dict[UUID, list[Case]]
"""Cases that wish for the same window, by its key; the first of them is the one that may send."""


async def pass_dedupe(conn: asyncpg.Connection, cases: Sequence[Case]) -> None:
    """Last of the gates, only for what would be sent: the first holder of a window sends, the others point at it."""
    if rivals := find_rivals(cases):
        settle(rivals, await once.open_windows(conn, windows_of(rivals)))


def find_rivals(cases: Iterable[Case]) -> Rivals:
    """Those that wish for a window and would be sent; the others have passed."""
    rivals: defaultdict[UUID, list[Case]] = defaultdict(list)
    for case in cases:
        if wishes_window(case) and would_send(case):
            rivals[_dedupe_key(case)].append(case)
    return rivals


def windows_of(rivals: Rivals) -> list[once.Window]:
    """The windows to be opened: one for each key, in the name of its first."""
    return [once.Window(key, group[0].id, group[0].category.dedupe_window_s) for key, group in rivals.items()]


def settle(rivals: Rivals, held: Mapping[UUID, UUID]) -> None:
    """Decide for all of them; `held` are the windows that somebody else's notification holds. Each was judged in the
    hope for its window, so only those without one hear of it."""
    for key, group in rivals.items():
        for case in group if key in held else group[1:]:
            mark_duplicate(case, held.get(key, group[0].id))


def _dedupe_key(case: Case) -> UUID:
    sender = case.item.sender
    return window_key(sender.tenant_id, sender.mode, _whom(case), case.category.name, case.request.dedupe_key or "")


def window_key(tenant_id: UUID, mode: Mode, whom: UUID, category: str, dedupe_key: str) -> UUID:
    """The key (128 bits) of the window in which `whom` hears this news once."""
    words = (category.encode(), dedupe_key.encode())
    parts = (tenant_id.bytes, mode.encode(), whom.bytes, *words)
    return uuid_of(int.from_bytes(blake2b(b"\0".join(parts), digest_size=16, person=b"dedupe").digest()))


def _whom(case: Case) -> UUID:
    """Whose window it is: a device that was named has one of its own."""
    return case.recipient.devices[0] if case.request.to.names_device else identity(case.recipient)
