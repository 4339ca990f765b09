"""docs/lifecycle.md draws what domain/delivery.py says: statuses, moves, ranks and beginnings, each exactly once."""

import re
from collections import Counter
from pathlib import Path

from domain.delivery import BEGINNINGS, ENDED, MOVES, OPEN, PROBLEMS, RANKS, DeliveryStatus

PAGE = (Path(__file__).parents[2] / "docs" / "lifecycle.md").read_text()
ARROWS = re.findall(r"^    (\S+) --> (\S+)$", PAGE, re.MULTILINE)
ROWS = re.findall(r"^\| `(\w+)` \| (\d+) \| (.+) \|$", PAGE, re.MULTILINE)


def test_every_legal_move_is_drawn_once_and_no_other() -> None:
    drawn = Counter((start, end) for start, end in ARROWS if "[*]" not in (start, end))
    legal = Counter((str(start), str(end)) for start, ends in MOVES.items() for end in ends)

    assert drawn == legal


def test_the_diagram_begins_where_deliveries_begin_and_ends_where_nothing_follows() -> None:
    beginnings = [end for start, end in ARROWS if start == "[*]"]
    ends = [start for start, end in ARROWS if end == "[*]"]

    assert sorted(beginnings) == sorted(BEGINNINGS)
    assert sorted(ends) == sorted(status for status, onward in MOVES.items() if not onward)


def test_every_status_has_one_sentence_and_its_rank() -> None:
    assert {name: int(rank) for name, rank, _ in ROWS} == {str(status): rank for status, rank in RANKS.items()}
    assert len(ROWS) == len(DeliveryStatus)
    for name, _, sentence in ROWS:
        assert sentence.endswith("."), f"{name} is not explained in a sentence"


def test_the_table_of_statuses_climbs_by_rank() -> None:
    ranks = [int(rank) for _, rank, _ in ROWS]

    assert ranks == sorted(ranks)


def test_every_status_can_be_reached_and_every_move_leads_to_a_status_with_a_rank() -> None:
    reached = set(BEGINNINGS) | {end for ends in MOVES.values() for end in ends}

    assert set(MOVES) == set(RANKS) == set(DeliveryStatus)
    assert reached == set(DeliveryStatus)


def test_only_new_attempts_repairs_and_returned_claims_lower_the_rank() -> None:
    lowering = {(start, end) for start, ends in MOVES.items() for end in ends if RANKS[end] < RANKS[start]}

    requeued = {move for move in lowering if move[1] is DeliveryStatus.QUEUED}
    claimed_again = {(DeliveryStatus.RESTING, DeliveryStatus.SENDING)}
    unsent = {(start, DeliveryStatus.DEFERRED) for start in (DeliveryStatus.SENDING, DeliveryStatus.RESTING)}
    assert lowering - requeued == claimed_again | unsent


def test_what_is_open_has_not_ended_and_no_problem_is_open() -> None:
    assert not set(OPEN) & set(ENDED)
    assert not set(OPEN) & set(PROBLEMS)
