"""Metrics are declared in one file, with their units, present from zero, and labelled from closed sets only."""

import ast
from itertools import product
from math import prod

import pytest
from prometheus_client import Counter, Gauge, Histogram, Metric
from prometheus_client.metrics import MetricWrapperBase

from domain.delivery import DeliveryStatus
from domain.lanes import DECLARED_CHANNELS, DECLARED_LANES
from domain.notification import Mode
from plumbing import metrics, push_metrics
from tests.house.rooms import ROOT, modules, shown, syntax

DECLARED = {
    name: metric
    for family in (metrics, push_metrics)
    for name, metric in vars(family).items()
    if isinstance(metric, Counter | Gauge | Histogram)
}
UNITS = ("_seconds", "_bytes", "_notifications", "_deliveries", "_ratio")
CLOSED = {
    "mode": {str(mode) for mode in Mode},
    "channel": {str(channel) for channel in DECLARED_CHANNELS},
    "lane": {str(lane) for lane in DECLARED_LANES},
    "status": {str(status) for status in DeliveryStatus},
}

APNS = {"priority": {"10", "5", "1"}, "status": {str(status) for status in push_metrics.PushStatus}}
"""What the labels of push hold: there a priority is a wake."""


@pytest.mark.parametrize("metric", DECLARED.values(), ids=DECLARED)
def test_a_metric_says_its_unit(metric: MetricWrapperBase) -> None:
    name = _name(metric)

    assert name.startswith(("carillon_", "apns_"))
    if isinstance(metric, Histogram):
        assert name.endswith(UNITS)
    assert isinstance(metric, Counter) or not name.endswith("_total")


@pytest.mark.parametrize("metric", DECLARED.values(), ids=DECLARED)
def test_a_metric_is_explained_in_a_sentence(metric: MetricWrapperBase) -> None:
    words = _family(metric).documentation

    assert words.endswith(".")
    assert words[0].isupper() or words[0].isdigit()


@pytest.mark.parametrize("metric", DECLARED.values(), ids=DECLARED)
def test_a_metric_is_there_from_zero_for_each_combination_of_its_labels(metric: MetricWrapperBase) -> None:
    labels = tuple(metric._labelnames)
    seen = {tuple(sample.labels[label] for label in labels) for family in metric.collect() for sample in family.samples}
    values = [sorted({combination[index] for combination in seen}) for index in range(len(labels))]

    assert seen == set(product(*values))
    assert len(seen) == prod(map(len, values))
    for label, found in zip(labels, values, strict=True):
        assert found, f"{label} has no values at the start"
        closed = CLOSED if _name(metric).startswith("carillon_") else APNS
        assert set(found) == closed.get(label, set(found)), label


def test_no_two_metrics_share_a_name() -> None:
    names = [_name(metric) for metric in DECLARED.values()]

    assert len(names) == len(set(names))
    assert names, "the file declares its metrics at the top"


def test_metrics_are_declared_nowhere_else() -> None:
    makers = {"Counter", "Gauge", "Histogram", "Summary"}

    strangers = {
        shown(path)
        for path in modules()
        if path != ROOT / "plumbing" / "metrics.py"
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("prometheus_client")
        and makers & {alias.name for alias in node.names}
    }

    assert strangers == set()


def _family(metric: MetricWrapperBase) -> Metric:
    return next(iter(metric.describe()))


def _name(metric: MetricWrapperBase) -> str:
    name = _family(metric).name
    return f"{name}_total" if isinstance(metric, Counter) else name
