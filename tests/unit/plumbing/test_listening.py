"""Whether anybody is to be told: when nobody answers, the answer is yes, and a role neither ends nor stops asking."""

from typing import Any, cast

import asyncpg
import pytest

from plumbing.listening import Listening


class SilentPool:
    """A pool whose server breaks off amid the question."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def fetchval(self, *_: object, **__: object) -> Any:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
        asyncpg.InterfaceError("the connection is closed"),
        asyncpg.UndefinedTableError("webhooks"),
        ConnectionResetError(),
        TimeoutError(),
    ],
)
async def test_who_cannot_be_asked_is_taken_to_listen(error: Exception) -> None:
    listening = Listening()

    await listening.look(cast(asyncpg.Pool, SilentPool(error)))

    assert listening.is_on
