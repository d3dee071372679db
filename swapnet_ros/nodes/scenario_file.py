"""Scenario files: the nodes that a parameter file hosts, with their parameters. Needs no rclpy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swapnet_core.errors import InputError
from swapnet_ros.nodes.errors import ParameterValueError
from swapnet_ros.nodes.hosted_nodes import CAMERAS_NODE, CORE_NODE, parse_nodes
from swapnet_ros.nodes.parameter_files import Assignment
from swapnet_ros.nodes.parameter_sources import check_assignments, place_of, read_assignments
from swapnet_ros.nodes.parameter_specs import ParameterSpec
from swapnet_ros.nodes.parameter_tables import SWAPNET, TASKS


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioNode:
    """A task node as a parameter file sets it up.

    Attributes:
        name: the node's.
        task: what it does.
        values: all its parameters.
    """

    name: str
    task: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioFile:
    """What a parameter file sets up.

    Attributes:
        core: the parameters of the node `swapnet`.
        nodes: the task nodes, in the order of the file.
        remarks: sections of the file that no node takes.
    """

    core: Mapping[str, Any]
    nodes: tuple[ScenarioNode, ...]
    remarks: tuple[str, ...]
    assignments: tuple[Assignment, ...]

    def place_of(self, node: ScenarioNode, key: str) -> str:
        """Say where in the file a parameter of a node stands."""
        return place_of(self.assignments, f"/{node.name}", key)


def read_scenario_file(path: Path) -> ScenarioFile:
    """Read a parameter file as the process `perception` would, without a namespace.

    Raises:
        InputError: it has no section for the node `swapnet`.
        ParameterSourceError: a misspelled section, an unknown key, a wrong type, or a value out
            of range.
        ParameterValueError: an unknown task, or a bad name of a node.
    """
    assignments = read_assignments(["--ros-args", "--params-file", str(path)])
    core_node = f"/{CORE_NODE}"
    # Other keys of sections for several nodes at once have to wait until the nodes are known.
    known = {spec.name for spec in SWAPNET}
    own = [each for each in assignments if each.nodes.endswith(core_node) or each.name in known]
    check_assignments(own, {core_node: SWAPNET})
    if not any(each.is_for(core_node) for each in assignments):
        raise InputError(
            f"{path}: has no section for the node {CORE_NODE}, so it is no scenario; write one: "
            f"`/**/{CORE_NODE}:` with the budget and the nodes"
        )
    core = _values(core_node, SWAPNET, assignments)
    try:
        hosted = parse_nodes(core["nodes"])
    except ParameterValueError as error:
        place = place_of(assignments, core_node, "nodes")
        raise ParameterValueError(f"{place}: {error}") from error
    nodes = {f"/{node.name}": TASKS[node.task] for node in hosted}
    remarks = check_assignments(assignments, {core_node: SWAPNET, f"/{CAMERAS_NODE}": (), **nodes})
    return ScenarioFile(
        core=core,
        nodes=tuple(
            ScenarioNode(
                name=node.name,
                task=node.task,
                values=_values(f"/{node.name}", TASKS[node.task], assignments),
            )
            for node in hosted
        ),
        remarks=remarks,
        assignments=tuple(assignments),
    )


def _values(
    node: str, specs: Sequence[ParameterSpec], assignments: Iterable[Assignment]
) -> Mapping[str, Any]:
    """Parameters of a node: defaults, overwritten in the order of the file."""
    values: dict[str, Any] = {spec.name: spec.default for spec in specs}
    for each in assignments:
        if each.is_for(node) and each.name in values:
            values[each.name] = each.value
    return values
