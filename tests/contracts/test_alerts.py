"""The alerts, held against recorded series by Prometheus' own checker, and against what the roles really export."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from plumbing import metrics, push_metrics
from tests.house.rooms import ROOT

FOLDER = ROOT / "ops" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"] for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
TESTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "tests.yml").read_text())["tests"]
PANELS: list[dict[str, Any]] = json.loads((ROOT / "ops" / "grafana" / "carillon.json").read_text())["panels"]
NAME = re.compile(r"\b((?:apns|carillon)_\w+)(\{[^}]*\})?")


def test_the_rules_do_what_the_recorded_series_say(promtool: Path) -> None:
    done = _run(promtool, "test", "rules", "tests.yml")

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_rule_that_counts_stored_pushes_as_failures_would_be_found_out(promtool: Path, tmp_path: Path) -> None:
    rules = (FOLDER / "rules.yml").read_text()
    wrong = rules.replace("sum(rate(apns_online_eligible_total[5m]))", "sum(rate(apns_notifications_sent_total[5m]))")
    (tmp_path / "rules.yml").write_text(wrong)
    (tmp_path / "tests.yml").write_text((FOLDER / "tests.yml").read_text())

    done = _run(promtool, "test", "rules", str(tmp_path / "tests.yml"))

    assert wrong != rules
    assert done.returncode != 0


def test_what_is_scraped_is_valid(promtool: Path) -> None:
    done = _run(promtool, "check", "config", "prometheus.yml")

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.get("alert") or rule.get("record")))
def test_a_rule_asks_only_for_what_the_roles_export(rule: dict[str, Any]) -> None:
    _assert_exported(rule["expr"])


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_a_panel_asks_only_for_what_the_roles_export(panel: dict[str, Any]) -> None:
    exported = _exported()

    for target in panel["targets"]:
        assert NAME.findall(target["expr"])
        _assert_exported(target["expr"])
        for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
            assert label == "instance" or any(label in exported[name] for name, _ in NAME.findall(target["expr"]))


def _assert_exported(expr: str) -> None:
    exported = _exported()
    for name, selector in NAME.findall(expr):
        assert name in exported, name
        for label, sign, value in re.findall(r'(\w+)(=~|=)"([^"]*)"', selector):
            known = exported[name].get(label, set())
            assert set(value.split("|") if sign == "=~" else [value]) <= known, (name, label, value)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_to_do_and_how_soon(alert: str) -> None:
    rule = ALERTS[alert]
    page = ROOT / rule["annotations"]["runbook"]

    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"].endswith(".")
    assert f"**{alert}**" in page.read_text()


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_fires_in_some_recording(alert: str) -> None:
    fires = [
        step["expr"]
        for test in TESTS
        for step in test["promql_expr_test"]
        if step["exp_samples"] and re.search(rf'[="|]{alert}["|]', step["expr"])
    ]

    assert fires


def test_every_runbook_belongs_to_an_alert() -> None:
    named = {ROOT / rule["annotations"]["runbook"] for rule in ALERTS.values()}

    assert set((ROOT / "ops" / "runbooks").iterdir()) == named


def _exported() -> dict[str, dict[str, set[str]]]:
    """The samples that a process exports from zero: their labels with all the values."""
    assert push_metrics.SENT is not None, "importing it declares the metrics of push"
    found: dict[str, dict[str, set[str]]] = {}
    for family in metrics.REGISTRY.collect():
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def _run(promtool: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([promtool, *args], cwd=FOLDER, capture_output=True, text=True, check=False)
