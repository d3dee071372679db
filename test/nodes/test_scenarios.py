"""The scenarios' parameter files fit the nodes, and the launch files start them."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path

import pytest
import yaml

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
    "image",
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
    assert described.keys() == ARGUMENTS
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


def test_without_arguments_nothing_is_overridden(describe, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert len(perceptions_of(describe("self_driving"), {})) == 1
    assert not list(tmp_path.iterdir())


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
