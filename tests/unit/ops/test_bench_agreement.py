"""The ledgers of a run are compared, and a doctored one is found out."""

import pytest

from ops.bench.agreement import Disagreement, differences, insist
from ops.bench.peer import Heard, Kept, Sent, Wish
from ops.bench.rounds import measured

NAMES = ("a", "b", "c")


def sent(*, unanswered: int = 0) -> Sent:
    return Sent(dict.fromkeys(NAMES, 10.0), unanswered=unanswered, began_at=10.0, answered_at=11.0)


def kept(**statuses: str) -> Kept:
    return Kept({**dict.fromkeys(NAMES, "delivered"), **statuses}, last_at=1012.0)


def heard(*names: str, twice: int = 0) -> Heard:
    return Heard({name: 10.0 + 0.001 * place for place, name in enumerate(names or NAMES, 1)}, twice)


def test_ledgers_that_tell_the_same_agree() -> None:
    assert differences(sent(), kept(), heard()) == []


@pytest.mark.parametrize(
    ("kept_rows", "heard_names", "words"),
    [
        (Kept({"a": "delivered", "b": "delivered"}), heard("a", "b"), "1 accepted but not in the database (c)"),
        (kept(d="delivered"), heard("a", "b", "c", "d"), "1 in the database but never accepted"),
        (kept(c="queued"), heard("a", "b"), "1 queued in the database"),
        (kept(), heard("a", "b"), "1 final in the database but never received (c)"),
        (kept(), heard("a", "b", "c", "d"), "1 received but not in the database (d)"),
        (kept(), heard(twice=2), "2 received twice"),
    ],
)
def test_a_doctored_ledger_is_found_out(kept_rows: Kept, heard_names: Heard, words: str) -> None:
    assert differences(sent(), kept_rows, heard_names) == [words]


def test_what_got_no_answer_may_have_been_taken_but_not_more_than_that() -> None:
    more = kept(d="delivered", e="delivered")
    names = heard("a", "b", "c", "d", "e")

    assert differences(sent(unanswered=2), more, names) == []
    assert differences(sent(unanswered=1), more, names) == ["1 in the database but never accepted"]


def test_ledgers_that_differ_end_the_run_with_one_line() -> None:
    with pytest.raises(Disagreement, match=r"^Carillon: the ledgers do not agree: 1 received twice \(of 3 accepted\)$"):
        insist("Carillon", sent(), kept(), heard(twice=1))


def test_rates_are_from_the_first_request_to_the_last_of_each_station() -> None:
    came_to = measured(Wish(3), sent(), kept(), heard(), epoch=1000.0)

    assert (came_to.door_per_s, came_to.final_per_s) == (3.0, 1.5)
    assert came_to.device_per_s == pytest.approx(1000)
    assert [round(value) for value in (came_to.p50_ms, came_to.p90_ms, came_to.p99_ms)] == [2, 3, 3]
    assert came_to.statuses == {"delivered": 3}
