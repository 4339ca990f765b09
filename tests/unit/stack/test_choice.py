"""Which way each part of the stack is had."""

import pytest

from domain.errors import Misconfigured
from ops.stack.choice import choose
from ops.stack.parts import Part, StackChoice, Way

URLS = {part: f"x://{part}" for part in Part}


def test_auto_takes_what_was_given_and_never_asks_for_more() -> None:
    assert choose(StackChoice.AUTO, URLS) == dict.fromkeys(Part, Way.URL)


def test_embedded_means_all_of_it_whatever_else_was_given() -> None:
    assert choose(StackChoice.EMBEDDED, URLS) == dict.fromkeys(Part, Way.EMBEDDED)


def test_auto_decides_for_each_part_alone() -> None:
    ways = choose(StackChoice.AUTO, {Part.REDIS: "redis://here"})

    assert ways[Part.REDIS] is Way.URL
    assert Way.URL not in (ways[Part.POSTGRES], ways[Part.RABBITMQ])


def test_url_refuses_to_guess_what_was_not_given() -> None:
    with pytest.raises(Misconfigured, match="CARILLON_REDIS_URL, CARILLON_AMQP_URL"):
        choose(StackChoice.URL, {Part.POSTGRES: "postgresql://here"})
