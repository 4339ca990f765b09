"""Many callers, one question: what is asked together, and what may not be answered from a question that runs."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from plumbing.gather import Gatherer


class Oracle:
    """Answers how often it was asked, once it may."""

    def __init__(self) -> None:
        self.questions: list[list[str]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.failure: Exception | None = None

    async def ask(self, keys: Sequence[str]) -> Mapping[str, int]:
        self.questions.append(list(keys))
        number = len(self.questions)
        await self.may_answer.wait()
        if self.failure is not None:
            raise self.failure
        return dict.fromkeys(keys, number)


async def test_a_thousand_callers_at_once_ask_one_question() -> None:
    oracle = Oracle()
    gatherer = Gatherer(oracle.ask)

    answers = await asyncio.gather(*(gatherer.find(["a"]) for _ in range(1000)))

    assert oracle.questions == [["a"]]
    assert answers == [{"a": 1}] * 1000


async def test_who_comes_while_a_question_runs_gets_the_answer_of_the_next_one() -> None:
    oracle = Oracle()
    gatherer = Gatherer(oracle.ask)
    oracle.may_answer.clear()
    early = asyncio.create_task(gatherer.find(["a"]))
    while not oracle.questions:
        await asyncio.sleep(0)

    late = [asyncio.create_task(gatherer.find(["a", "b"])) for _ in range(3)]
    oracle.may_answer.set()

    assert await early == {"a": 1}
    assert await asyncio.gather(*late) == [{"a": 2, "b": 2}] * 3
    assert oracle.questions == [["a"], ["a", "b"]]


async def test_more_keys_than_fit_are_asked_in_parts() -> None:
    oracle = Oracle()
    gatherer = Gatherer(oracle.ask, most=2)

    found = await gatherer.find(["a", "b", "c", "d", "e"])

    assert oracle.questions == [["a", "b"], ["c", "d"], ["e"]]
    assert set(found) == {"a", "b", "c", "d", "e"}


async def test_a_caller_that_leaves_takes_nobody_with_it_and_a_failure_is_everybodys() -> None:
    oracle = Oracle()
    gatherer = Gatherer(oracle.ask)
    oracle.may_answer.clear()
    leaving, staying = (asyncio.create_task(gatherer.find(["a"])) for _ in range(2))
    while not oracle.questions:
        await asyncio.sleep(0)

    leaving.cancel()
    oracle.failure = ConnectionError("gone")
    oracle.may_answer.set()

    with pytest.raises(ConnectionError):
        await staying
    oracle.failure = None
    assert await gatherer.find(["a"]) == {"a": 2}
