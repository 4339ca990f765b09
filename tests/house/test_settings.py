"""`.env.example` lists every setting with its default and its unit, and nothing else."""

import re

from plumbing.settings import Settings
from tests.house.rooms import ROOT

LINES = re.findall(r"^# ?(CARILLON_\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)


def test_the_example_lists_every_setting_once_and_no_other() -> None:
    assert sorted(name for name, _ in LINES) == sorted(f"CARILLON_{name.upper()}" for name in Settings.model_fields)


def test_the_example_shows_every_default() -> None:
    shown = {name: value.strip() for name, value in LINES}

    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else str(field.default)
        assert shown[f"CARILLON_{name.upper()}"] == default, name


def test_nothing_in_the_example_is_set() -> None:
    assert re.findall(r"^[^#\s].*$", (ROOT / ".env.example").read_text(), re.MULTILINE) == []


def test_a_setting_of_time_or_size_names_its_unit() -> None:
    bare = [name for name in Settings.model_fields if re.search(r"(timeout|interval|delay|age|ttl)$", name)]

    assert bare == []
