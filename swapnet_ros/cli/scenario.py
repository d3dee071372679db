"""Scenario files: which tasks a parameter file hosts, with which networks and rates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from swapnet_ros.cli.networks import PlannableNetwork
from swapnet_ros.nodes.network_mistakes import told_by_place
from swapnet_ros.nodes.scenario_file import ScenarioFile, ScenarioNode, read_scenario_file
from swapnet_ros.nodes.task_networks import TASK_NETWORKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What a parameter file sets up.

    Attributes:
        budget: as written, e.g. `130MiB`.
        device: that the networks run on, as written.
        host_budget: for pinned host memory beside a GPU's, as written; empty: none.
        read_priority: of the threads that read; see `SwapRuntime`.
        cache_dir: for block files; None for the user's cache folder.
        networks: one per task node, under the node's name.
        remarks: sections of the file that no node takes.
    """

    budget: str
    device: str
    host_budget: str
    read_priority: int
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
    file = read_scenario_file(path)
    core = file.core
    return Scenario(
        budget=core["budget"],
        device=core["device"],
        host_budget=core["host_budget"],
        read_priority=core["read_priority"],
        cache_dir=Path(core["cache_dir"]).expanduser() if core["cache_dir"] else None,
        networks=tuple(_open(node, file) for node in file.nodes),
        remarks=file.remarks,
    )


def open_network(node: ScenarioNode, file: ScenarioFile) -> Any:
    """Find a task node's network, as the node does.

    Raises:
        ParameterSourceError: the network or its files cannot be used; says where that stands.
    """
    with told_by_place(partial(file.place_of, node)):
        return TASK_NETWORKS[node.task](node.values)


def _open(node: ScenarioNode, file: ScenarioFile) -> PlannableNetwork:
    network = open_network(node, file)
    return PlannableNetwork(
        name=node.name,
        network=network.name,
        rate_hz=node.values["max_rate_hz"] or None,
        build=network.build,
        inputs=network.example_inputs,
        weights=network.weights,
    )
