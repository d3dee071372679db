"""Scenario files: which tasks a parameter file hosts, with which networks and rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swapnet_core.errors import InputError, SwapNetError
from swapnet_ros.cli.networks import PlannableNetwork
from swapnet_ros.nodes.errors import ParameterSourceError, ParameterValueError
from swapnet_ros.nodes.hosted_nodes import CAMERAS_NODE, CORE_NODE, HostedNode, parse_nodes
from swapnet_ros.nodes.parameter_files import Assignment
from swapnet_ros.nodes.parameter_sources import check_assignments, place_of, read_assignments
from swapnet_ros.nodes.parameter_specs import ParameterSpec
from swapnet_ros.nodes.parameter_tables import SWAPNET, TASKS
from swapnet_ros.nodes.task_networks import TASK_NETWORKS
from swapnet_ros.perception.errors import InputSizeError, LabelsError, WeightsError

# The parameter that an error is about, where it is not the network as such.
_TO_BLAME: Mapping[type[SwapNetError], str] = {
    InputSizeError: "input_size",
    LabelsError: "labels",
    WeightsError: "weights",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What a parameter file sets up.

    Attributes:
        budget: as written, e.g. `130MiB`.
        cache_dir: for block files; None for the user's cache folder.
        networks: one per task node, under the node's name.
        remarks: sections of the file that no node takes.
    """

    budget: str
    cache_dir: Path | None
    networks: tuple[PlannableNetwork, ...]
    remarks: tuple[str, ...]


def is_scenario(name: str) -> bool:
    """Tell a scenario file from the name of a network."""
    return name.endswith((".yaml", ".yml"))


def read_scenario(path: Path) -> Scenario:
    """Read a parameter file as the process `perception` would, without a namespace.

    Raises:
        InputError: it has no section for the node `swapnet`.
        ParameterSourceError: a misspelled section, an unknown key, a wrong type, a value out of
            range, or a task's network or its files that cannot be used.
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
    return Scenario(
        budget=core["budget"],
        cache_dir=Path(core["cache_dir"]).expanduser() if core["cache_dir"] else None,
        networks=tuple(_open(node, assignments) for node in hosted),
        remarks=remarks,
    )


def _values(
    node: str, specs: Sequence[ParameterSpec], assignments: Sequence[Assignment]
) -> Mapping[str, Any]:
    """Parameters of a node: defaults, overwritten in the order of the file."""
    values: dict[str, Any] = {spec.name: spec.default for spec in specs}
    for each in assignments:
        if each.is_for(node) and each.name in values:
            values[each.name] = each.value
    return values


def _open(node: HostedNode, assignments: Sequence[Assignment]) -> PlannableNetwork:
    values = _values(f"/{node.name}", TASKS[node.task], assignments)
    try:
        network = TASK_NETWORKS[node.task](values)
    except SwapNetError as error:
        key = next((key for kind, key in _TO_BLAME.items() if isinstance(error, kind)), "network")
        place = place_of(assignments, f"/{node.name}", key)
        raise ParameterSourceError((f"{place}: {key}: {error}",)) from error
    return PlannableNetwork(
        name=node.name,
        network=network.name,
        rate_hz=values["max_rate_hz"] or None,
        build=network.build,
        inputs=network.example_inputs,
        weights=network.weights,
    )
