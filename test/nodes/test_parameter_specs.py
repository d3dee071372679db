"""Parameters say what they are, and why a value cannot be used."""

from __future__ import annotations

import math

import pytest

from swapnet_ros.nodes import parameter_tables
from swapnet_ros.nodes.parameter_specs import ParameterSpec, markdown_table

ALL = {"swapnet": parameter_tables.SWAPNET, **parameter_tables.TASKS}


@pytest.mark.parametrize("node", ALL)
def test_tables_are_sound(node: str) -> None:
    specs = ALL[node]
    names = [spec.name for spec in specs]
    assert len(names) == len(set(names))
    for spec in specs:
        assert spec.problem(spec.default) is None, spec
        assert spec.description.endswith("."), spec
        assert (spec.minimum is None) == (spec.maximum is None), spec


def spec(name: str, node: str = "object_detection") -> ParameterSpec:
    return next(spec for spec in ALL[node] if spec.name == name)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("score_threshold", 1.5, "score_threshold lies within 0 to 1, so it cannot be 1.5"),
        ("score_threshold", -0.1, "within 0 to 1"),
        ("score_threshold", math.nan, "within 0 to 1"),
        ("score_threshold", 1, "score_threshold is a double, not 1; write 1.0"),
        ("score_threshold", "0.3", "is a double, not '0.3'"),
        ("score_threshold", None, "is a double, not nothing"),
        ("max_detections", 0, "within 1 to 10000"),
        ("max_detections", 2.0, "is an integer, not 2.0; write 2"),
        ("max_detections", True, "is an integer, not True"),
        ("autostart", 1, "autostart is a bool, not 1"),
        ("network", 3, "network is a string, not 3; write '3', with quotation marks"),
        ("image_transport", "theora", "image_transport is one of raw, compressed, not 'theora'"),
    ],
)
def test_a_bad_value_is_refused_with_the_reason(name: str, value: object, reason: str) -> None:
    assert reason in spec(name).problem(value)


@pytest.mark.parametrize("budget", ["96 MB of RAM", "", "-1MiB", "0"])
def test_a_budget_must_be_a_size(budget: str) -> None:
    assert spec("budget", "swapnet").problem(budget).startswith("budget: ")


def test_a_string_array_holds_strings_only() -> None:
    nodes = spec("nodes", "swapnet")
    assert nodes.problem([]) is None
    assert nodes.problem(["object_detection"]) is None
    assert "holds other things" in nodes.problem(["object_detection", 3])


def test_markdown_has_a_row_per_parameter() -> None:
    table = markdown_table([spec("image_transport"), spec("autostart"), spec("max_rate_hz")])
    rows = table.splitlines()
    assert rows[2].startswith('| `image_transport` | string | `"raw"` | raw or compressed | no |')
    assert "| `autostart` | bool | `true` |  | no |" in rows[3]
    assert "| `max_rate_hz` | double | `0.0` | 0 to 1000 | yes |" in rows[4]
