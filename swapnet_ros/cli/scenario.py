"""Scenario files: which tasks a parameter file hosts, with which networks and rates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swapnet_core.errors import InputError
from swapnet_ros.cli.networks import PlannableNetwork
from swapnet_ros.nodes.errors import ParameterValueError
from swapnet_ros.nodes.hosted_nodes import CORE_NODE, HostedNode, parse_nodes
from swapnet_ros.nodes.parameter_sources import Assignment, check_assignments, read_assignments
from swapnet_ros.nodes.parameter_specs import ParameterSpec
from swapnet_ros.nodes.parameter_tables import SWAPNET, TASKS
from swapnet_ros.nodes.task_networks import TASK_NETWORKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What a parameter file sets up.

    Attributes:
        budget: as written, e.g. `130MiB`.
        cache_dir: for block files; None for the user's cache folder.
        networks: one per task node, under the node's name.
    """

    budget: str
    cache_dir: Path | None
    networks: tuple[PlannableNetwork, ...]


def is_scenario(name: str) -> bool:
    """Tell a scenario file from the name of a network."""
    return name.endswith((".yaml", ".yml"))


def read_scenario(path: Path) -> Scenario:
    """Read a parameter file as the process `perception` would, without a namespace.

    Raises:
        InputError: it has no section for the node `swapnet`.
        ParameterSourceError: an unknown key, a wrong type or a value out of range.
        ParameterValueError: an unknown task, or a bad name of a node.
        SwapNetError: a task's network or its files cannot be used.
    """
    assignments = read_assignments(["--ros-args", "--params-file", str(path)])
    core_node = f"/{CORE_NODE}"
    if not any(each.is_for(core_node) for each in assignments):
        raise InputError(f"{path}: has no section for the node {CORE_NODE}, so it is no scenario")
    # Other keys of sections for several nodes at once have to wait until the nodes are known.
    known = {spec.name for spec in SWAPNET}
    own = [each for each in assignments if each.nodes.endswith(core_node) or each.name in known]
    check_assignments(own, {core_node: SWAPNET})
    core = _values(core_node, SWAPNET, assignments)
    try:
        hosted = parse_nodes(core["nodes"])
    except ParameterValueError as error:
        raise ParameterValueError(f"{path}: {core_node}: {error}") from error
    nodes = {f"/{node.name}": TASKS[node.task] for node in hosted}
    check_assignments(assignments, {core_node: SWAPNET, **nodes})
    return Scenario(
        budget=core["budget"],
        cache_dir=Path(core["cache_dir"]).expanduser() if core["cache_dir"] else None,
        networks=tuple(_open(node, assignments) for node in hosted),
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


def _open(node: HostedNode, assignments: Iterable[Assignment]) -> PlannableNetwork:
    values = _values(f"/{node.name}", TASKS[node.task], assignments)
    network = TASK_NETWORKS[node.task](values)
    return PlannableNetwork(
        name=node.name,
        network=network.name,
        rate_hz=values["max_rate_hz"] or None,
        build=network.build,
        inputs=network.example_inputs,
        weights=network.weights,
    )
