"""Scenario files: which tasks a parameter file hosts, with which networks and rates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from swapnet_ros.cli.networks import PlannableNetwork
from swapnet_ros.nodes.scenario_file import ScenarioNode, read_scenario_file
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
    file = read_scenario_file(path)
    core = file.core
    return Scenario(
        budget=core["budget"],
        cache_dir=Path(core["cache_dir"]).expanduser() if core["cache_dir"] else None,
        networks=tuple(_open(node) for node in file.nodes),
    )


def _open(node: ScenarioNode) -> PlannableNetwork:
    network = TASK_NETWORKS[node.task](node.values)
    return PlannableNetwork(
        name=node.name,
        network=network.name,
        rate_hz=node.values["max_rate_hz"] or None,
        build=network.build,
        inputs=network.example_inputs,
        weights=network.weights,
    )
