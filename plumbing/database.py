"""Ways into PostgreSQL: the hot pool (generic plans), the reading pool and the engine of exports (custom plans).

It opens them, lends connections for a bounded time and gives PostgreSQL's troubles one name; it holds no SQL of ours.
The hot path needs generic plans without hash joins, merge joins and sequential scans: one bad plan cost 174 us per
delivery instead of 14. The same settings on reads cost a second instead of 0.2 ms, hence two ways.
"""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

import asyncpg

from domain.errors import Misconfigured, Unavailable
from plumbing.hot_pool import HotPool

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

CONNECT_TIMEOUT_S = 2.0
COMMAND_TIMEOUT_S = 5.0
BORROW_TIMEOUT_S = 1.0

_TIMEOUTS = {
    "lock_timeout": "300ms",
    "statement_timeout": "5s",
    "idle_in_transaction_session_timeout": "15s",
}
HOT = {
    **_TIMEOUTS,
    "application_name": "carillon hot",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
}
"""Settings of the hot path. Custom plans know how many keys they are given, and for a few hundred of them rather read
every delivery there is."""
_READING = {
    **_TIMEOUTS,
    "application_name": "carillon",
    "jit": "off",
    "plan_cache_mode": "force_custom_plan",
}

_TROUBLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.LockNotAvailableError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""Connection lost or refused, too many connections, disk full, time-outs, deadlocks, a server that became a replica;
and asyncpg's own confusion when a server ends a connection in the middle of a conversation."""

_REFUSED = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.exceptions.ClientConfigurationError,
)
"""Wrong password, no such database, a URL that cannot be read."""


async def open_hot_pool(url: str, *, size: int) -> HotPool:
    """The pool of accept, relay, claim, finish and receipts: at most `size` connections. Unavailable, Misconfigured."""
    pool = HotPool(url, size=size, server_settings=HOT, timeout=CONNECT_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S)
    with postgres_errors():
        await pool
    return pool


async def open_read_pool(url: str, *, size: int) -> HotPool:
    """A pool for reading the journey in plain SQL, lent as the hot pool is, with custom plans. Unavailable,
    Misconfigured."""
    pool = HotPool(
        url, size=size, server_settings=_READING, timeout=CONNECT_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S
    )
    with postgres_errors():
        await pool
    return pool


async def connect(
    url: str,
    *,
    application_name: str = "carillon",
    command_timeout_s: float | None = COMMAND_TIMEOUT_S,
    is_hot: bool = False,
) -> asyncpg.Connection:
    """One connection for reading and administration, to be closed by the caller. Unavailable, Misconfigured.

    With `is_hot` it has the plans of the hot pool, for who works through the journey's tables by keys.
    """
    settings = {**(HOT if is_hot else _READING), "application_name": application_name}
    with postgres_errors():
        return await asyncpg.connect(
            url, server_settings=settings, timeout=CONNECT_TIMEOUT_S, command_timeout=command_timeout_s
        )


def open_engine(url: str, *, size: int, command_timeout_s: float | None = COMMAND_TIMEOUT_S) -> "AsyncEngine":
    """The engine of everything that is not hot: at most `size` connections; it connects when it is first used.

    Never a raw COPY before the first statement of its transaction: the driver's transaction begins only there.
    """
    from sqlalchemy.ext.asyncio import create_async_engine  # lazy: most roles need no engine, and it is a third of them

    async def connect_for_engine(*_: Any, **__: Any) -> asyncpg.Connection:
        return await connect(url, command_timeout_s=command_timeout_s)

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect_for_engine,
        pool_size=size,
        max_overflow=0,
        pool_timeout=BORROW_TIMEOUT_S,
        pool_pre_ping=True,
    )


def borrow(pool: asyncpg.Pool) -> AbstractAsyncContextManager[asyncpg.Connection]:
    """A connection of the hot pool, waited for at most a second; PostgreSQL's troubles inside become Unavailable."""
    return _Loan(pool) if isinstance(pool, HotPool) else _borrow_plainly(pool)


class _Loan:
    """One loan of the hot pool. A class, since a generator around each statement costs more than the hand does."""

    __slots__ = ("_conn", "_pool")

    def __init__(self, pool: HotPool) -> None:
        self._pool = pool

    async def __aenter__(self) -> asyncpg.Connection:
        conn = self._pool.from_hand()
        if conn is None:
            with postgres_errors():
                conn = await self._pool.take(BORROW_TIMEOUT_S)
        self._conn = conn
        return conn

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_in_order = error is None or isinstance(error, asyncpg.PostgresError)  # else nobody knows what still runs
        if not is_in_order or not self._pool.keep(self._conn):
            with postgres_errors():
                await self._pool.give_back(self._conn)
        elif self._pool.is_untidy():
            await self._pool.tidy()
        if isinstance(error, Exception):
            _raise_renamed(error)


@asynccontextmanager
async def _borrow_plainly(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """The same from any other pool."""
    with postgres_errors():
        async with pool.acquire(timeout=BORROW_TIMEOUT_S) as conn:
            yield conn


@contextmanager
def postgres_errors() -> Iterator[None]:
    """Connection errors, time-outs, deadlocks and full servers become Unavailable; a refused log-in Misconfigured."""
    try:
        yield
    except Exception as error:
        _raise_renamed(error)
        raise


def _raise_renamed(error: Exception) -> None:
    """Raise what it is called here, if it is PostgreSQL's."""
    if not isinstance(
        error,
        (
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
            OSError,
            *_errors_of_engines("SQLAlchemyError"),
        ),
    ):
        return
    cause = _driver_error(error)
    if isinstance(cause, _REFUSED):
        raise Misconfigured(f"CARILLON_DATABASE_URL does not work: {_short(cause)}") from error
    if isinstance(cause, (*_TROUBLE, *_errors_of_engines("TimeoutError"))) or _is_closed(cause):
        raise Unavailable("PostgreSQL", _short(cause)) from error


def is_conflict(error: Unavailable) -> bool:
    """Whether transactions met (a deadlock, a lock held too long): the same work may be tried again at once."""
    return isinstance(error.__cause__, asyncpg.TransactionRollbackError | asyncpg.LockNotAvailableError)


def _errors_of_engines(name: str) -> tuple[type[Exception], ...]:
    """SQLAlchemy's error of that name; none where it is not loaded, since then nobody raises it."""
    errors = sys.modules.get("sqlalchemy.exc")
    return (getattr(errors, name),) if errors is not None else ()


def _driver_error(error: BaseException) -> BaseException:
    """The driver's own error beneath SQLAlchemy's, where there is one."""
    wrapped = getattr(error, "orig", None)
    return (wrapped.__cause__ or wrapped) if isinstance(wrapped, BaseException) else error


def _is_closed(error: BaseException) -> bool:
    """Whether asyncpg speaks of a connection or pool that is gone; its other InterfaceErrors are faults of ours."""
    return isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError) and "clos" in str(error)


def _short(error: BaseException) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:200]
