"""The scenarios' parameter files fit the nodes, and the launch files start them."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from swapnet_core import SwapRuntime
from swapnet_ros.nodes.container import PerceptionHost
from swapnet_ros.nodes.errors import ParameterSourceError
from swapnet_ros.nodes.hosted_nodes import parse_nodes
from swapnet_ros.nodes.parameter_sources import check_assignments, read_assignments
from swapnet_ros.nodes.parameter_tables import SWAPNET, TASKS

ROOT = Path(__file__).parents[2]
SCENARIOS = sorted(path.stem for path in (ROOT / "config").glob("*.yaml"))
ARGUMENTS = {
    "params_file",
    "namespace",
    "use_sim_time",
    "budget",
    "device",
    "autostart",
    "log_level",
}
CAMERAS = {
    "self_driving": {"image"},
    "roadside_unit": {"image_north", "image_south"},
    "uav_surveillance": {"image"},
}
TASKS_OF = {
    "self_driving": {
        "lane_detection": 1,
        "object_detection": 1,
        "semantic_segmentation": 1,
        "traffic_sign_classification": 1,
    },
    "roadside_unit": {
        "object_detection": 2,
        "natural_scene_classification": 2,
        "traffic_light_classification": 1,
    },
    "uav_surveillance": {"fire_detection": 1, "wild_animal_recognition": 1},
}


def hosted_by(path: Path) -> list[str]:
    sections = yaml.safe_load(path.read_text())
    return sections["/**/swapnet"]["ros__parameters"]["nodes"]


@pytest.mark.parametrize("namespace", ["", "/robot1"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_parameter_file_fits_its_nodes_in_every_namespace(scenario, namespace):
    path = ROOT / "config" / f"{scenario}.yaml"
    hosted = parse_nodes(hosted_by(path))
    nodes = {f"{namespace}/{node.name}": TASKS[node.task] for node in hosted}
    nodes[f"{namespace}/swapnet"] = SWAPNET
    assignments = read_assignments(["--ros-args", "--params-file", str(path)])
    check_assignments(assignments, nodes)
    for assignment in assignments:
        assert any(assignment.is_for(node) for node in nodes), assignment


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_hosts_its_tasks(scenario):
    hosted = parse_nodes(hosted_by(ROOT / "config" / f"{scenario}.yaml"))
    assert Counter(node.task for node in hosted) == TASKS_OF[scenario]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_cameras_of_a_parameter_file_are_those_of_its_launch_file(scenario):
    sections = yaml.safe_load((ROOT / "config" / f"{scenario}.yaml").read_text())
    nodes = parse_nodes(hosted_by(ROOT / "config" / f"{scenario}.yaml"))
    used = {
        camera
        for node in nodes
        for camera in sections[f"/**/{node.name}"]["ros__parameters"].get("cameras", ["image"])
    }
    assert used == CAMERAS[scenario]


def spoil(scenario: str, old: str, new: str, folder: Path) -> Path:
    """A scenario's parameter file with one mistake in it."""
    text = (ROOT / "config" / f"{scenario}.yaml").read_text()
    assert old in text
    path = folder / f"{scenario}.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


MISTAKES = [
    ("self_driving", "score_threshold:", "score_treshold:", "lane_detection", "score_treshold"),
    ("self_driving", "max_rate_hz: 0.0", "max_rate_hz: 1", "semantic_segmentation", "max_rate_hz"),
    ("self_driving", "[0.5, 0.1,", "[0.5, 1.1,", "traffic_sign_classification", "region"),
    ("self_driving", "regions: region", "regions: left", "traffic_sign_classification", "regions"),
    ("roadside_unit", "[image_north]", "image_north", "detection_north", "cameras"),
    ("roadside_unit", "[image_north, image_south]", "[a b]", "traffic_light", "cameras"),
    ("roadside_unit", "network: resnet152", "network: 152", "scene_north", "network"),
    ("uav_surveillance", "priority: 10", "priority: 1000", "fire_detection", "priority"),
    ("uav_surveillance", "budget: ", "budget: lots of ", "swapnet", "budget"),
]


@pytest.mark.ros
@pytest.mark.parametrize(("scenario", "old", "new", "node", "key"), MISTAKES)
def test_a_mistake_is_told_by_file_and_key_before_a_network_loads(
    scenario, old, new, node, key, tmp_path, domain_id, monkeypatch
):
    path = spoil(scenario, old, new, tmp_path)
    loaded = []
    monkeypatch.setattr(SwapRuntime, "load", lambda *_, **__: loaded.append(1))
    with pytest.raises(ParameterSourceError) as caught:
        PerceptionHost(["--ros-args", "--params-file", str(path)], domain_id=domain_id)
    (problem,) = caught.value.problems
    assert str(path) in problem
    assert node in problem
    assert key in problem
    assert not loaded


def describe_by_file(scenario: str):
    """Describe a scenario as its launch file does."""
    path = ROOT / "launch" / f"{scenario}.launch.py"
    spec = importlib.util.spec_from_file_location("scenario", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


@pytest.fixture(scope="module")
def describe():
    """`describe(scenario)`, against the sources' `config/`."""
    pytest.importorskip("launch_ros", reason="needs launch_ros, which a ROS install has")
    from swapnet_ros.nodes import scenario_launch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenario_launch, "get_package_share_directory", lambda _: str(ROOT))
        # launch opens its log file once and keeps it
        perceptions_of(describe_by_file("self_driving"), {})
        yield describe_by_file


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_launch_file_has_the_arguments_of_every_scenario(describe, scenario):
    described = {each.name: each for each in describe(scenario).get_launch_arguments()}
    boxes = {"detections"} if scenario == "self_driving" else set()
    assert described.keys() == ARGUMENTS | CAMERAS[scenario] | boxes
    default = described["params_file"].default_value[0].text
    assert Path(default) == ROOT / "config" / f"{scenario}.yaml"
    assert all(each.description for each in described.values())


def perceptions_of(description, arguments: dict[str, str]) -> list:
    """Carry a description out, up to the processes that it would start."""
    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations.update(arguments)
    context._set_asyncio_loop(asyncio.new_event_loop())
    try:
        entities = list(description.entities)
        found = []
        while entities:
            entity = entities.pop(0)
            if type(entity).__name__ == "Node":
                found.append(entity)
            else:
                entities.extend(entity.execute(context) or [])
        return found
    finally:
        context.asyncio_loop.close()


def test_arguments_override_the_file_in_every_section(describe, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    arguments = {"budget": "48MiB", "device": "cpu", "autostart": "false", "namespace": "robot1"}
    (node,) = perceptions_of(describe("self_driving"), arguments)
    assert (node.node_package, node.node_executable) == ("swapnet_ros", "perception")
    (overrides,) = tmp_path.glob("*.yaml")
    assert yaml.safe_load(overrides.read_text()) == {
        "/**/*": {"ros__parameters": {"budget": "48MiB", "device": "cpu", "autostart": False}}
    }


@pytest.mark.parametrize("chosen", [None, "/home/me/dds.xml"])
def test_the_nodes_send_through_shared_memory_unless_the_user_has_chosen(
    describe, monkeypatch, chosen
):
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS", "ROS_DISTRO"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE", raising=False)
    if chosen is not None:
        monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", chosen)
    (node,) = perceptions_of(describe("self_driving"), {})
    added = {key[0].text: value[0].text for key, value in node.additional_env or ()}
    profile = str(ROOT / "config" / "fastdds_shared_memory.xml")
    assert added == ({} if chosen else {"FASTDDS_DEFAULT_PROFILES_FILE": profile})


def test_every_camera_is_remapped(describe):
    arguments = {"image_north": "/n/image", "image_south": "/s/image"}
    (node,) = perceptions_of(describe("roadside_unit"), arguments)
    remapped = [tuple(part[0].text for part in pair) for pair in node._Node__remappings]
    assert remapped == [("image_north", "/n/image"), ("image_south", "/s/image")]


def test_the_boxes_of_a_detector_are_remapped(describe):
    arguments = {"detections": "object_detection/detections"}
    (node,) = perceptions_of(describe("self_driving"), arguments)
    remapped = {pair[0][0].text: pair[1][0].text for pair in node._Node__remappings}
    assert remapped == {"image": "image", "detections": "object_detection/detections"}


@pytest.mark.parametrize(("arguments", "wait_s"), [({}, "60"), ({"sigterm_timeout": "7"}, "7")])
def test_launch_waits_for_the_images_in_hand(describe, arguments, wait_s):
    from launch import LaunchContext

    (node,) = perceptions_of(describe("self_driving"), arguments)
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    (timeout,) = node.sigterm_timeout
    assert timeout.perform(context) == wait_s


@pytest.mark.parametrize(("level", "more"), [("warn", []), ("debug", ["--log-level", "rcl:=info"])])
def test_a_log_level_is_passed_on_and_debug_spares_rcl(describe, level, more):
    (node,) = perceptions_of(describe("self_driving"), {"log_level": level})
    given = node._Node__arguments
    assert given == ["--ros-args", "--log-level", level, *more]


def test_without_arguments_nothing_is_overridden(describe, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert len(perceptions_of(describe("self_driving"), {})) == 1
    assert not list(tmp_path.iterdir())


def test_a_parameter_file_that_is_not_there_is_named(describe):
    with pytest.raises(ValueError, match=r"params_file: there is no file '/gone\.yaml'"):
        perceptions_of(describe("self_driving"), {"params_file": "/gone.yaml"})


def test_an_argument_that_is_almost_known_is_told(describe):
    from swapnet_ros.nodes.scenario_launch import misspelled

    known = [each.name for each in describe("self_driving").get_launch_arguments()]
    given = ["bugdet", "budget", "paramsfile", "robot_model"]
    assert list(misspelled(given, known)) == [
        "there is no argument 'bugdet' here; did you mean 'budget'?",
        "there is no argument 'paramsfile' here; did you mean 'params_file'?",
    ]


def test_a_flag_that_is_neither_true_nor_false_is_named(describe):
    with pytest.raises(ValueError, match="autostart is true or false, not 'perhaps'"):
        perceptions_of(describe("self_driving"), {"autostart": "perhaps"})


@pytest.mark.ros
def test_an_override_wins_over_every_section_of_a_file(start_host, tmp_path):
    overrides = tmp_path / "overrides.yaml"
    section = {"ros__parameters": {"budget": "48MiB", "autostart": False}}
    overrides.write_text(yaml.safe_dump({"/**/*": section}))
    everywhere = tmp_path / "everywhere.yaml"
    everywhere.write_text(yaml.safe_dump({"/**": {"ros__parameters": {"budget": "32MiB"}}}))
    host = start_host("--params-file", str(everywhere), "--params-file", str(overrides))
    assert host.swapnet.parameters["budget"] == "48MiB"


def test_the_launch_process_does_without_pytorch(describe):
    code = "import sys, swapnet_ros.nodes.scenario_launch; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 0
