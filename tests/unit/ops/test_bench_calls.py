"""Sampled stacks become lines that flame graph programs read, and a tree that people read."""

import sys
from pathlib import Path

from ops.bench.calls import drawn, tree_of
from plumbing.call_tree import CallTree

LINES = ["main;loop;send;write 6", "main;loop;send 2", "main;loop;read 1", "main;loop;rare 1", ""]


def test_a_tree_counts_a_call_with_all_that_it_calls() -> None:
    root = tree_of(LINES)

    assert root.count == 10
    send = root.calls["main"].calls["loop"].calls["send"]
    assert (send.count, send.calls["write"].count) == (8, 6)


def test_a_drawn_tree_begins_where_samples_part_and_leaves_out_what_is_small() -> None:
    drawing = drawn(tree_of(LINES), least_share=0.15).splitlines()[1:]

    assert [line.split() for line in drawing] == [["80.0%", "20.0%", "send"], ["60.0%", "60.0%", "write"]]


def test_nothing_sampled_is_drawn_as_nothing() -> None:
    assert drawn(tree_of([])).startswith("0 samples")


def test_a_sample_holds_the_whole_stack_outermost_first(tmp_path: Path) -> None:
    tree = CallTree(tmp_path / "api.folded")

    def inner() -> None:
        tree.sample(0, sys._getframe())

    inner()
    inner()

    ((line, count),) = tree.folded().items()
    assert count == 2
    assert line.split(";")[-1].endswith("<locals>.inner (tests/unit/ops/test_bench_calls.py)")
    assert str(Path.home()) not in line


def test_the_second_word_writes_the_file(tmp_path: Path) -> None:
    tree = CallTree(tmp_path / "api.folded")

    tree.toggle()
    tree.sample(0, sys._getframe())
    tree.toggle()

    assert (tmp_path / "api.folded").read_text().endswith(" 1\n")
