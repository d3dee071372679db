"""Typing errors in parameter files and arguments are found, with file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from swapnet_ros.nodes.errors import ParameterSourceError
from swapnet_ros.nodes.parameter_sources import check_assignments, read_assignments
from swapnet_ros.nodes.parameter_tables import OBJECT_DETECTION, SWAPNET, TASKS

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
    ("key", "problem"),
    [
        ("max_rate_hz: '5.0'", "max_rate_hz is a double, not '5.0'; write 5.0, without quotation"),
        ("max_rate_hz: 5", "max_rate_hz is a double, not 5; write 5.0"),
        ("max_rate_hz: .nan", "max_rate_hz lies within 0 to 1000, so it cannot be nan"),
        ("max_rate_hz: .inf", "max_rate_hz lies within 0 to 1000, so it cannot be inf"),
        ("max_rate_hz: -1.0", "max_rate_hz lies within 0 to 1000, so it cannot be -1.0"),
        ("max_rate_hz: nan", "max_rate_hz is a double, not 'nan'"),
        ("priority: 1.0", "priority is an integer, not 1.0; write 1"),
        ("autostart: 'true'", "autostart is a bool, not 'true'; write true or false"),
        ("network: 152", "network is a string, not 152; write '152', with quotation marks"),
        ("network: {}", "network is a string, not {}"),
        ("weights:", 'weights is a string, not nothing; write `weights: ""`, or leave it out'),
        ("cameras: image", "cameras is a string array, not 'image'; write [image]"),
        ("cameras: {front: image}", "no parameter 'cameras.front'; did you mean 'cameras'?"),
        ("cameras: []", "cameras: a task needs at least one camera"),
        ("input_size: 416", "input_size is an integer array, not 416; write [416]"),
        ("input_size: [416.0]", "holds other things; write whole numbers without a point"),
        ("image_transport: theora", "image_transport is one of raw, compressed, not 'theora'"),
    ],
)
def test_a_value_that_cannot_be_is_told_with_its_place_and_what_to_write(
    tmp_path: Path, key: str, problem: str
) -> None:
    (found,) = file_problems(tmp_path, f"/**/object_detection:\n  ros__parameters:\n    {key}\n")
    assert found.startswith(f"{tmp_path / 'parameters.yaml'}:3: /**/object_detection: ")
    assert problem in found


def test_a_wildcard_value_must_do_for_every_node_that_has_the_parameter(tmp_path: Path) -> None:
    text = "/**:\n  ros__parameters: {max_regions: 65}\n"
    nodes = {**NODES, "/traffic_sign_classification": TASKS["traffic_sign_classification"]}
    (found,) = file_problems(tmp_path, text, nodes)
    assert "max_regions lies within 1 to 64" in found


def sections(folder: Path, text: str, nodes: dict = NODES) -> tuple[str, ...]:
    """What is told of sections that no node takes."""
    path = folder / "parameters.yaml"
    path.write_text(text)
    assignments = read_assignments(["--ros-args", "--params-file", str(path)])
    return check_assignments(assignments, nodes)


@pytest.mark.parametrize(
    ("section", "meant"),
    [
        ("/objekt_detection", "/object_detection"),
        ("object_detector", "/object_detection"),
        ("/**/object_detektion", "/**/object_detection"),
        ("/**/swapnett", "/**/swapnet"),
    ],
)
def test_a_misspelled_section_is_refused_with_the_right_name(
    tmp_path: Path, section: str, meant: str
) -> None:
    # what a launch file's arguments become is for all nodes, and makes nothing right
    text = f"{section}:\n  ros__parameters: {{x: 1}}\n/**/*:\n  ros__parameters: {{budget: 1GiB}}\n"
    (problem,) = file_problems(tmp_path, text)
    assert problem.startswith(f"{tmp_path / 'parameters.yaml'}:2: ")
    assert problem.endswith(f": there is no such node; did you mean {meant}?")


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ("/controller_server", "no node of this process is called so. They are /object_detection"),
        ("/**/fire_detection", "the parameter `nodes` of swapnet lists them"),
        ("/robot2/object_detection", "here that node is /object_detection; /**/object_detection"),
        ("/a(b", "no node of this process is called so"),
    ],
)
def test_a_section_for_another_process_is_told_and_no_mistake(
    tmp_path: Path, section: str, reason: str
) -> None:
    (remark,) = sections(tmp_path, f"{section}:\n  ros__parameters: {{x: 1}}\n")
    assert remark.startswith(f"{tmp_path / 'parameters.yaml'}:2: ")
    assert reason in remark


def test_a_name_that_is_almost_another_nodes_may_be_one_of_its_own(tmp_path: Path) -> None:
    text = GOOD + "/**/object_detection2:\n  ros__parameters: {x: 1}\n"
    assert len(sections(tmp_path, text)) == 2


def test_a_node_that_a_later_list_leaves_out_is_known(tmp_path: Path) -> None:
    text = "/**/swapnet:\n  ros__parameters: {nodes: [object_detection, rear=lane_detection]}\n"
    text += "/**/rear:\n  ros__parameters: {network: ufld_resnet18}\n"
    assert sections(tmp_path, text, NODES) == ()
    assert sections(tmp_path, text, IN_NAMESPACE) == ()


def test_an_argument_that_is_not_yaml_is_named() -> None:
    (problem,) = problems(["--ros-args", "-p", "budget:=["])
    assert problem.startswith("-p budget:=[: the value is not YAML: ")
