"""Processor time is charged to the role that used it, also that of children that are gone."""

import os

import pytest

from ops.bench.accounting import ORDER, Process, by_role, per_notification_us, used_s

LINE = "77 (postgres: writer (x) 5) S 70 70 70 0 -1 4194624 1 0 0 0 250 50 100 20 20 0 1 0 5 1 1"


def test_a_line_of_proc_is_read_whatever_the_name_holds() -> None:
    assert Process.of(LINE, ticks_per_s=100) == Process(parent=70, own_s=3.0, ended_s=1.2)


def test_a_role_is_its_process_with_its_children_up_to_the_next_role() -> None:
    ours = os.getpid()
    processes = {
        ours: Process(1, 1.0, 50.0),
        10: Process(ours, 2.0, 0.5),  # the postmaster: a backend that used half a second is gone
        11: Process(10, 4.0, 0.0),
        12: Process(11, 8.0, 0.0),
        20: Process(ours, 16.0, 0.0),
        30: Process(20, 32.0, 0.0),
        40: Process(1, 64.0, 0.0),
    }

    sums = by_role(processes, {"postgres": 10, "worker": 20, "door": 30, "simulated": 40, "devices": 99, "load": ours})

    assert sums["PostgreSQL"] == 14.5
    assert (sums["worker"], sums["door"], sums["others"]) == (16.0, 32.0, 64.0)
    assert sums["load generator"] == 1.0


def test_a_child_that_ended_between_two_looks_is_charged_once() -> None:
    before = by_role({10: Process(1, 1.0, 0.0), 11: Process(10, 2.0, 0.0)}, {"postgres": 10})
    after = by_role({10: Process(1, 1.0, 2.5)}, {"postgres": 10})

    assert per_notification_us(before, after, 100)["PostgreSQL"] == pytest.approx(5000)


def test_the_sum_leaves_out_who_asks() -> None:
    nothing = dict.fromkeys(ORDER, 0.0)

    parts = per_notification_us(nothing, {**nothing, "api": 1.0, "worker": 2.0, "load generator": 4.0}, 1000)

    assert (parts["api"], parts["load generator"], parts["sum"]) == (1000, 4000, 3000)


def test_our_own_process_has_used_some() -> None:
    assert used_s({})["load generator"] > 0
