"""Typing errors in parameter files and arguments are found, with file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from swapnet_ros.nodes.errors import ParameterSourceError
from swapnet_ros.nodes.parameter_sources import check_assignments, read_assignments
from swapnet_ros.nodes.parameter_tables import OBJECT_DETECTION, SWAPNET

NODES = {"/swapnet": SWAPNET, "/object_detection": OBJECT_DETECTION}
IN_NAMESPACE = {"/robot1/swapnet": SWAPNET, "/robot1/object_detection": OBJECT_DETECTION}


def problems(arguments: list[str], nodes: dict = NODES) -> tuple[str, ...]:
    try:
        check_assignments(read_assignments(arguments), nodes)
    except ParameterSourceError as error:
        return error.problems
    return ()


def file_problems(folder: Path, text: str, nodes: dict = NODES) -> tuple[str, ...]:
    path = folder / "parameters.yaml"
    path.write_text(text)
    return problems(["--ros-args", "--params-file", str(path)], nodes)


GOOD = """
/**:
  ros__parameters: {use_sim_time: true, budget: 96MiB}
/**/object_detection:
  ros__parameters:
    score_threshold: 0.5
    qos_overrides: {/image: {subscription: {depth: 2}}}
/another_node:
  ros__parameters: {anything: 1}
"""


@pytest.mark.parametrize("nodes", [NODES, IN_NAMESPACE])
def test_a_good_file_has_no_problems(tmp_path: Path, nodes: dict) -> None:
    assert file_problems(tmp_path, GOOD, nodes) == ()


@pytest.mark.parametrize(
    "section",
    ["object_detection", "/object_detection", "/*", "/**", "/**/object_detection"],
)
def test_an_unknown_key_is_named_with_a_suggestion(tmp_path: Path, section: str) -> None:
    text = f"{section}:\n  ros__parameters:\n    score_treshold: 0.5\n"
    (problem,) = file_problems(tmp_path, text)
    assert problem.startswith(str(tmp_path / "parameters.yaml"))
    assert "no parameter 'score_treshold'; did you mean 'score_threshold'?" in problem


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    text = """
object_detection:
  ros__parameters: {max_rate_hz: 10, iou_threshold: 2.0, zzz: 1}
swapnet:
  ros__parameters: {budget: lots}
"""
    found = file_problems(tmp_path, text)
    assert len(found) == 4
    assert "write 10.0" in found[0]
    assert "iou_threshold lies within 0 to 1" in found[1]
    assert "no parameter 'zzz'; known are autostart, " in found[2]
    assert "budget: not a size: 'lots'" in found[3]


def test_nested_namespaces_and_names_without_slash(tmp_path: Path) -> None:
    text = "robot1:\n  object_detection:\n    ros__parameters: {colour: red}\n"
    assert file_problems(tmp_path, text, NODES) == ()
    assert len(file_problems(tmp_path, text, IN_NAMESPACE)) == 1
    # as in rclpy, a bare name is one in the root namespace
    text = "object_detection:\n  ros__parameters: {colour: red}\n"
    assert len(file_problems(tmp_path, text, NODES)) == 1
    assert file_problems(tmp_path, text, IN_NAMESPACE) == ()


@pytest.mark.parametrize(
    ("argument", "count"),
    [
        ("budget:=64MiB", 0),
        ("swapnet:budget:=64MiB", 0),
        ("budgt:=64MiB", 1),
        ("object_detection:budget:=64MiB", 1),
        ("object_detection:max_rate_hz:=5", 1),
        ("other_node:budgt:=64MiB", 0),
    ],
)
def test_arguments_are_checked_too(argument: str, count: int) -> None:
    assert len(problems(["--ros-args", "-p", argument])) == count
    assert problems(["-p", argument]) == ()
    assert problems(["--ros-args", "--", "-p", argument]) == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "is not YAML"),
        ("- a\n- b", "holds no node's parameters"),
        ("", "holds no node's parameters"),
        ("score_threshold: 0.5", "`ros__parameters` must come before it"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (problem,) = file_problems(tmp_path, text)
    assert reason in problem


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (problem,) = problems(["--ros-args", "--params-file", str(tmp_path / "none.yaml")])
    assert "none.yaml: cannot be read" in problem
