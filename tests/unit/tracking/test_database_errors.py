"""PostgreSQL's troubles get one name each: try again, or set it right; faults of ours stay what they are."""

import asyncpg
import pytest
from sqlalchemy import exc as sqlalchemy_errors

from domain.errors import Misconfigured, Unavailable
from plumbing.database import postgres_errors


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "refused"),
        TimeoutError(),
        asyncpg.TooManyConnectionsError("sorry, too many clients"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.AdminShutdownError("terminating connection"),
        asyncpg.DiskFullError("no space left on device"),
        asyncpg.QueryCanceledError("statement timeout"),
        asyncpg.LockNotAvailableError("lock timeout"),
        asyncpg.DeadlockDetectedError("deadlock detected"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
        sqlalchemy_errors.TimeoutError("QueuePool limit"),
    ],
)
def test_troubles_that_pass_are_unavailable(error: Exception) -> None:
    with pytest.raises(Unavailable) as raised, postgres_errors():
        raise error

    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InvalidPasswordError("password authentication failed"),
        asyncpg.InvalidCatalogNameError("no such database"),
    ],
)
def test_a_refused_url_is_a_setting_to_correct(error: Exception) -> None:
    with pytest.raises(Misconfigured, match="CARILLON_DATABASE_URL"), postgres_errors():
        raise error


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.UniqueViolationError("duplicate key"),
        asyncpg.DataError("invalid input for query argument"),
        asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
        ValueError("ours"),
    ],
)
def test_faults_of_ours_keep_their_own_name(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, postgres_errors():
        raise error

    assert raised.value is error


def test_the_driver_beneath_sqlalchemy_is_asked() -> None:
    beneath = Exception("wrapped")
    beneath.__cause__ = asyncpg.TooManyConnectionsError("too many")

    with pytest.raises(Unavailable), postgres_errors():
        raise sqlalchemy_errors.DBAPIError("SELECT 1", {}, beneath)
