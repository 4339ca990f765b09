"""asyncpg's pool with half of its connections in hand: lent and taken back without a wait, a task or a timer.

asyncpg lends by a task or a timer, a proxy and a shielded task at the return: 100 to 190 us when a process has just
woken up, 40 from the hand. Whatever is not in perfect order goes back to asyncpg, which knows how to mend it.
"""

import time
from typing import Any

import asyncpg

MAX_QUERIES = 50_000
"""Then a connection ends, and what its backend has gathered with it; asyncpg's own number."""

IDLE_S = 60.0
"""Who was not needed for so long goes back to asyncpg, which closes it after some minutes."""


class HotConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """A connection whose return to the pool needs no round trip: the hot path sets nothing per session."""

    def get_reset_query(self) -> str:
        return ""

    @property
    def loan(self) -> Any:
        """What asyncpg lent it as; None once it has it back, as it does when the connection is lost."""
        return self._proxy

    @property
    def itself(self) -> "HotConnection":
        """Found also through that loan, which asks its connection for whatever it does not know."""
        return self

    def is_fit(self, max_queries: int) -> bool:
        """Whether the next one may have it as it is: no transaction, no cancelled query on its way out, not worn."""
        return not (
            self.is_closed()
            or self.is_in_transaction()
            or self._protocol._is_cancelling()
            or self._protocol.queries_count >= max_queries
        )


class HotPool(asyncpg.Pool):  # type: ignore[misc]  # asyncpg ships no types
    """At most `size` connections, of which up to half lie in hand. To asyncpg those in hand are lent.

    So the hand never holds what somebody waits for who asks asyncpg alone (`acquire`, `fetch`): half stays there.
    """

    def __init__(
        self, url: str, *, size: int, max_queries: int = MAX_QUERIES, idle_s: float = IDLE_S, **connect_args: Any
    ) -> None:
        super().__init__(
            url,
            min_size=1,
            max_size=size,
            max_queries=max_queries,
            max_inactive_connection_lifetime=300.0,
            loop=None,
            connection_class=HotConnection,
            record_class=asyncpg.Record,
            **connect_args,
        )
        self._most = size // 2
        self._worn_at = max_queries
        self._idle_s = idle_s
        self._hand: list[tuple[float, HotConnection]] = []
        """The one that was used last comes last, with the time when it came back."""
        self._waiting = 0

    def from_hand(self) -> HotConnection | None:
        """A connection, if there is one in hand."""
        while self._hand:
            conn = self._hand.pop()[1]
            if not conn.is_closed():
                return conn
            conn.terminate()  # it died: asyncpg may know it already
        return None

    async def take(self, timeout_s: float) -> HotConnection:
        """One of asyncpg's, or a new one; TimeoutError when there is none in time. Raises as asyncpg does."""
        self._waiting += 1  # what is given back meanwhile goes to asyncpg, which knows whose turn it is
        try:
            loan = await self.acquire(timeout=timeout_s)
        finally:
            self._waiting -= 1
        conn: HotConnection = loan.itself
        return conn

    def keep(self, conn: HotConnection) -> bool:
        """Take it back into the hand, if there is room, nobody waits and it is fit; else `give_back` it."""
        if self._waiting or len(self._hand) >= self._most or not conn.is_fit(self._worn_at):
            return False
        self._hand.append((time.monotonic(), conn))
        return True

    async def give_back(self, conn: HotConnection) -> None:
        """To asyncpg: it waits for what was cancelled, rolls back what is open, and closes what is worn out."""
        loan = conn.loan
        if loan is not None:
            await self.release(loan)

    def is_untidy(self) -> bool:
        """Whether somebody in hand was not needed for long."""
        return bool(self._hand) and time.monotonic() - self._hand[0][0] > self._idle_s

    async def tidy(self) -> None:
        """Give back who was not needed for long."""
        while self.is_untidy():
            await self.give_back(self._hand.pop(0)[1])

    async def close(self) -> None:
        """Wait for those that are lent, and close all."""
        self._most = 0
        try:
            while self._hand:
                await self.give_back(self._hand.pop()[1])
        except BaseException:
            self.terminate()
            raise
        await super().close()

    def terminate(self) -> None:
        """Close all at once."""
        self._most = 0
        self._hand.clear()
        super().terminate()
