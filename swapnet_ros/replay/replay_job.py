"""What a replay runs: the scenario's nodes, looking at a bag's topics in the bag's time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swapnet_core.errors import InputError
from swapnet_ros.evaluation.bags.message_types import COMPRESSED_IMAGE
from swapnet_ros.evaluation.direct.direct_task import DirectTask
from swapnet_ros.nodes.drive_jobs import ros_parameters
from swapnet_ros.nodes.hosted_nodes import CORE_NODE, HostedNode
from swapnet_ros.replay.player_command import PlayedTopic

_COMPRESSED = "/compressed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayJob:
    """The nodes and what they are told.

    Attributes:
        nodes: the task nodes.
        topics: of the bag, that are to be played.
        ros_arguments: of the process `perception`.
    """

    nodes: tuple[HostedNode, ...]
    topics: tuple[PlayedTopic, ...]
    ros_arguments: tuple[str, ...]


def make_job(
    config: Path,
    tasks: Sequence[DirectTask],
    types: Mapping[str, str],
    *,
    budget: str = "",
    cache_dir: Path | None = None,
) -> ReplayJob:
    """Set the scenario's nodes up for a bag.

    Args:
        config: the scenario's parameter file.
        tasks: of the scenario, joined with the bag's topics.
        types: of the bag's topics.
        budget: goes before the file's; empty for that one.
        cache_dir: likewise; None for that one.

    Raises:
        InputError: a task looks at raw and at compressed images, which no node can.
    """
    values: dict[str, Any] = {f"{CORE_NODE}:use_sim_time": True}
    if budget:
        values[f"{CORE_NODE}:budget"] = budget
    if cache_dir is not None:
        values[f"{CORE_NODE}:cache_dir"] = str(cache_dir)
    remaps: list[str] = []
    for task in tasks:
        values |= {f"{task.name}:{key}": each for key, each in _set_up(task, types).items()}
        if task.detector:
            remaps += ["-r", f"{task.name}:detections:=/{task.detector}/detections"]
    topics = dict.fromkeys(topic for task in tasks for topic in task.topics)
    return ReplayJob(
        nodes=tuple(HostedNode(name=task.name, task=task.task) for task in tasks),
        topics=tuple(PlayedTopic(name=each, played_as=_played_as(each, types)) for each in topics),
        ros_arguments=("--params-file", str(config), *ros_parameters(values), *remaps),
    )


def _set_up(task: DirectTask, types: Mapping[str, str]) -> dict[str, Any]:
    compressed = [topic for topic in task.topics if types[topic] == COMPRESSED_IMAGE]
    if compressed and len(compressed) < len(task.topics):
        raw = sorted(set(task.topics) - set(compressed))
        raise InputError(
            f"{task.name} looks at {', '.join(compressed)}, which is compressed, and at "
            f"{', '.join(raw)}, which is raw; a node takes one of the two (`image_transport`). "
            "Make the bag anew with one kind, or give each a node of its own"
        )
    played = (_played_as(topic, types) for topic in task.topics)
    return {
        "autostart": True,
        "use_sim_time": True,
        "image_transport": "compressed" if compressed else "raw",
        # nodes look for compressed images below the topic that they are told
        "cameras": [each.removesuffix(_COMPRESSED) if compressed else each for each in played],
    }


def _played_as(topic: str, types: Mapping[str, str]) -> str:
    if types[topic] == COMPRESSED_IMAGE and not topic.endswith(_COMPRESSED):
        return topic + _COMPRESSED
    return topic
