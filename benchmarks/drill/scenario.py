"""A scenario as a measurement needs it: its nodes, what they publish, what they demand."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_prefix

from swapnet_ros.nodes.hosted_nodes import HostedNode, parse_nodes
from swapnet_ros.nodes.parameter_sources import read_assignments
from swapnet_ros.nodes.topic_tables import TOPICS

_CONFIG = Path(__file__).resolve().parents[2] / "config"


class ScenarioError(Exception):
    """A scenario cannot be used; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultTopic:
    """Where a node publishes results: the topic, and package and name of its message."""

    node: str
    topic: str
    type: str


def find_scenario(name: str) -> Path:
    """Return the parameter file of a scenario's name, or the file itself.

    Raises:
        ScenarioError: there is none.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else _CONFIG / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in _CONFIG.glob("*.yaml")))
        raise ScenarioError(f"no scenario {name!r}: name a file, or one of {known}")
    return path.resolve()


def hosted_nodes(path: Path) -> tuple[HostedNode, ...]:
    """Return the task nodes of a parameter file.

    Raises:
        ScenarioError: it names none.
        NodeError: it has mistakes.
    """
    assignments = read_assignments(["--ros-args", "--params-file", str(path)])
    lists: list[Any] = [
        each.value for each in assignments if each.name == "nodes" and each.is_for("/swapnet")
    ]
    if not lists:
        raise ScenarioError(f"{path}: the section of `swapnet` has no `nodes`")
    return parse_nodes(lists[-1])


def result_topics(nodes: Sequence[HostedNode]) -> tuple[ResultTopic, ...]:
    """Return the topics on which every image that was processed must show up."""
    return tuple(
        ResultTopic(node=node.name, topic=f"/{node.name}/{topic.name[2:]}", type=topic.type)
        for node in nodes
        for topic in TOPICS[node.task]
        if topic.name.startswith("~/") and not topic.name.startswith(("~/vision/", "~/debug_image"))
    )


def demand_bytes(path: Path, *, ratio: float) -> int:
    """Ask `swapnet plan` what a scenario's networks need with everything in memory.

    Args:
        path: its parameter file.
        ratio: demand over budget, for which it plans.

    Raises:
        ScenarioError: it cannot be planned for; with the command's own words.
    """
    command = [executable("swapnet"), "plan", str(path), "--budget-ratio", str(ratio), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        raise ScenarioError(f"swapnet plan {path}: {done.stderr.strip()}") from error
    if answer["least_budget_bytes"] > answer["budget_bytes"]:
        raise ScenarioError(
            f"{path}: at a ratio of {ratio} the budget is {answer['budget_bytes']} bytes, and the "
            f"networks need at least {answer['least_budget_bytes']}; name a smaller ratio"
        )
    return int(answer["demand_bytes"])


def write_parameters(path: Path, sections: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write a parameter file for nodes of any namespace; the last of several files wins."""
    document = {f"/**/{node}": {"ros__parameters": dict(keys)} for node, keys in sections.items()}
    # JSON is YAML, too; what YAML's writer abbreviates by aliases, rcl does not read
    path.write_text(json.dumps(document, indent=2), encoding="utf-8")
    return path


def executable(name: str) -> str:
    """Path of an executable of the installed package."""
    return str(Path(get_package_prefix("swapnet_ros"), "lib", "swapnet_ros", name))
