"""Reads mailboxes for many devices in one statement: the pages they want, and every 20 s who has something waiting.

Only reads. A letter is forgotten by whoever applies its device's acknowledgement.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from channels.push.gateway.actions import Push
from channels.push.gateway.connections import Connections
from channels.push.gateway.drain import Read
from channels.push.gateway.link import Link
from channels.push.letters import StoredLetter
from channels.push.mailbox import Wanted, page, waiting
from channels.push.wire import notification_frame
from domain.clock import utc_now
from plumbing.database import borrow

POLL_S = 20.0
POLL_SLICE = 2000
"""Devices asked about in one statement."""


class Request(NamedTuple):
    """What one connection wants to read."""

    link: Link
    read: Read


class Mailroom:
    """The reader of mailboxes for one node."""

    def __init__(self, pool: asyncpg.Pool, connections: Connections) -> None:
        self._pool = pool
        self._connections = connections

    async def read(self, requests: list[Request]) -> None:
        """Answer these, at most one per device, in one statement. Raises Unavailable: then nothing was read."""
        current = [one for one in requests if self._connections.is_current(one.link)]
        wanted = [
            Wanted(one.link.device, one.read.after, one.read.limit, one.read.least_wake)
            for one in current
            if one.link.device is not None
        ]
        try:
            async with borrow(self._pool) as conn:
                letters = await page(conn, wanted)
        except Exception:  # whatever it was: a session that waits for an answer would never ask again
            for one in current:
                one.link.session.unread()
            raise
        now = time.monotonic()
        for one in current:
            if one.link.device is not None:
                found = letters.get(one.link.device, [])
                one.link.act(one.link.session.page([push_of(letter) for letter in found], now))

    async def poll(self) -> None:
        """Ask which of the devices here have something waiting. Raises Unavailable."""
        links = self._connections.logged_in()
        for start in range(0, len(links), POLL_SLICE):
            await self._poll(links[start : start + POLL_SLICE])

    async def _poll(self, links: Sequence[Link]) -> None:
        async with borrow(self._pool) as conn:
            answers = await waiting(conn, [link.device for link in links if link.device is not None])
        now = utc_now()
        for link in links:
            answer = answers.get(link.device) if link.device is not None else None
            if answer is not None:
                age_s = (now - answer.oldest_at).total_seconds()
                link.act(link.session.waiting(answer.count, answer.greatest_wake, age_s))


def push_of(letter: StoredLetter) -> Push:
    """A letter as the text that its device gets."""
    text = notification_frame(
        delivery_id=letter.delivery_id,
        payload=letter.payload,
        wake=letter.wake,
        collapse_id=letter.collapse_id,
        topic=letter.topic,
        expires_at=letter.expires_at,
        stored=True,
    )
    return Push(letter.delivery_id.bytes, letter.wake, letter.collapse_id, text)
