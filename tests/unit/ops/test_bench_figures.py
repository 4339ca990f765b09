"""Quantiles are values that were measured, and a figure that is missing is not a number."""

import json
import math

import pytest

from ops.bench.gateway import Figures
from ops.bench.noise import Noise
from ops.bench.quantiles import quantile
from ops.bench.tokens import device_token


@pytest.mark.parametrize(
    ("count", "share", "expected"), [(1, 0.99, 1.0), (2, 0.5, 1.0), (100, 0.99, 99.0), (101, 0.99, 100.0)]
)
def test_a_quantile_is_the_smallest_value_that_so_many_do_not_exceed(count: int, share: float, expected: float) -> None:
    assert quantile([float(number) for number in range(1, count + 1)], share) == expected


def test_what_was_not_measured_is_null_in_json() -> None:
    figures = Figures("nobody", Noise(1.0, 1.0, 1.0, 0.0, 1.0))

    assert math.isnan(quantile([], 0.5))
    assert json.loads(json.dumps(figures.document(), allow_nan=False))["latency_p99_ms"] is None


def test_tokens_of_a_run_differ_and_are_the_same_for_both_sides() -> None:
    assert device_token("a", 1) == device_token("a", 1)
    assert len({device_token(run, number) for run in "ab" for number in range(50)}) == 100
