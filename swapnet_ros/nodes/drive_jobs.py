"""What a drive runs: a scenario, or one detection network alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from swapnet_core.sizes import format_size
from swapnet_ros.evaluation.network_demand import NetworkDemand
from swapnet_ros.nodes.drive_options import DEFAULT_DEMAND_OVER_BUDGET, DriveOptions
from swapnet_ros.nodes.hosted_nodes import CORE_NODE, HostedNode
from swapnet_ros.nodes.scenario_file import ScenarioNode, read_scenario_file

PLAYER_TOPIC = "image"
_ALONE = "object_detection"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveJob:
    """What the perception process is to run.

    Attributes:
        title: a name for it.
        announcement: one sentence on what it is.
        nodes: its task nodes.
        ros_arguments: of its command line.
        configuration: what was asked for, of JSON types.
    """

    title: str
    announcement: str
    nodes: tuple[HostedNode, ...]
    ros_arguments: tuple[str, ...]
    configuration: Mapping[str, Any]


def scenario_job(config: Path, options: DriveOptions) -> DriveJob:
    """Run a scenario's nodes; every camera of theirs shows the video.

    Args:
        config: the scenario's parameter file.
        options: `budget_bytes` goes before the file's.

    Raises:
        InputError: the file has no section for the node `swapnet`.
        ParameterSourceError: the file has mistakes.
        ParameterValueError: it names an unknown task.
    """
    file = read_scenario_file(config)
    values: dict[str, Any] = {}
    if options.budget_bytes:
        values[f"{CORE_NODE}:budget"] = str(options.budget_bytes)
    for node in file.nodes:
        values |= _fed_by_player(node)
    names = ", ".join(node.name for node in file.nodes)
    return DriveJob(
        title=config.stem,
        announcement=f"scenario {config.stem}: {names}",
        nodes=tuple(HostedNode(name=node.name, task=node.task) for node in file.nodes),
        ros_arguments=(*_params_file(config), *ros_parameters(values)),
        configuration={"scenario": str(config), "budget": _budget(file.core["budget"], options)},
    )


def network_job(config: Path, options: DriveOptions, demand: NetworkDemand) -> DriveJob:
    """Run one detection network alone.

    Args:
        config: the parameter file with everything that the options do not say.
        options: network, weights, labels, and a budget that goes before demand / 2.32.
        demand: what the network needs.
    """
    wanted_bytes = round(demand.demand_bytes / DEFAULT_DEMAND_OVER_BUDGET)
    budget_bytes = options.budget_bytes or max(wanted_bytes, demand.least_bytes)
    values = {
        f"{CORE_NODE}:nodes": [_ALONE],
        f"{CORE_NODE}:budget": str(budget_bytes),
        f"{_ALONE}:network": options.network,
        f"{_ALONE}:weights": str(options.weights or ""),
        f"{_ALONE}:labels": str(options.labels or ""),
    }
    return DriveJob(
        title=demand.network,
        announcement=f"network  {demand.network}: demand {format_size(demand.demand_bytes)}, "
        f"budget {format_size(budget_bytes)} "
        f"(demand / budget = {demand.demand_bytes / budget_bytes:.2f})",
        nodes=(HostedNode(name=_ALONE, task=_ALONE),),
        ros_arguments=(*_params_file(config), *ros_parameters(values)),
        configuration={**asdict(demand), "weights": str(options.weights or "")},
    )


def ros_parameters(values: Mapping[str, Any]) -> list[str]:
    """Write parameters as arguments behind `--ros-args`; JSON's strings and numbers are YAML's."""
    assignments = [f"{name}:={json.dumps(value)}" for name, value in values.items()]
    return [part for text in assignments for part in ("-p", text)]


def _params_file(config: Path) -> list[str]:
    return ["--params-file", str(config)]


def _budget(written: str, options: DriveOptions) -> str:
    return format_size(options.budget_bytes) if options.budget_bytes else written


def _fed_by_player(node: ScenarioNode) -> dict[str, Any]:
    """The player is the one camera, and sends raw images."""
    wanted = {"cameras": [PLAYER_TOPIC], "image_transport": "raw"}
    return {
        f"{node.name}:{name}": value for name, value in wanted.items() if node.values[name] != value
    }
