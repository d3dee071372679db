"""A scenario file's tasks, joined with a bag's topics."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from swapnet_core.errors import InputError
from swapnet_ros.cli.scenario import open_network
from swapnet_ros.evaluation.direct.direct_task import DirectTask, find_camera, resolve_topic
from swapnet_ros.nodes.scenario_file import ScenarioFile, ScenarioNode, read_scenario_file

_FINDERS = ("object_detection", "fire_detection", "wild_animal_recognition")


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedScenario:
    """What a scenario file makes of a bag.

    Attributes:
        tasks: in the order of the file.
        budget: the file's own.
        device: of the networks.
        host_budget: for pinned host memory beside a GPU's; empty: none.
        read_priority: of the threads that read; see `SwapRuntime`.
        cache_dir: for block files; None for the user's cache folder.
        remarks: what a user should know.
    """

    tasks: tuple[DirectTask, ...]
    budget: str
    device: str
    host_budget: str
    read_priority: int
    cache_dir: Path | None
    remarks: tuple[str, ...]


def join_scenario(
    path: Path, image_topics: Collection[str], remaps: Mapping[str, str]
) -> JoinedScenario:
    """Read a scenario file and find the images of its cameras in a bag.

    Args:
        path: the parameter file.
        image_topics: of the bag.
        remaps: from names of topics to other ones, as on a node's command line.

    Raises:
        InputError: it is no scenario, or the bag lacks images of a camera.
        NodeError: the file has mistakes.
    """
    file = read_scenario_file(path)
    if not file.nodes:
        raise InputError(f"{path}: the parameter `nodes` names no task to evaluate")
    _require_used(remaps, file.nodes)
    cameras = {node.name: _cameras(node, image_topics, remaps) for node in file.nodes}
    tasks = tuple(
        DirectTask(
            name=node.name,
            task=node.task,
            topics=cameras[node.name],
            detector=_detector(node, file, cameras, remaps),
            values=node.values,
            network=open_network(node, file),
        )
        for node in file.nodes
    )
    core = file.core
    return JoinedScenario(
        tasks=tasks,
        budget=core["budget"],
        device=core["device"],
        host_budget=core["host_budget"],
        read_priority=core["read_priority"],
        cache_dir=Path(core["cache_dir"]).expanduser() if core["cache_dir"] else None,
        remarks=(*file.remarks, *_remarks(tasks)),
    )


def parse_remaps(words: Sequence[str]) -> dict[str, str]:
    """Read remappings such as `image:=/camera/front/image_raw` or `node:image:=/other`.

    Raises:
        InputError: a word is not of that form.
    """
    remaps = {}
    for word in words:
        name, sign, new = word.partition(":=")
        if not (name and sign and new):
            raise InputError(f"--remap {word}: write it as image:=/camera/front/image_raw")
        remaps[name] = new
    return remaps


def _cameras(
    node: ScenarioNode, image_topics: Collection[str], remaps: Mapping[str, str]
) -> tuple[str, ...]:
    """The bag's topics of a node's cameras, each once."""
    found = {}
    for camera in node.values["cameras"]:
        topic = resolve_topic(camera, node.name, remaps)
        is_chosen = not remaps.keys().isdisjoint((camera, f"{node.name}:{camera}"))
        found[find_camera(topic, image_topics, is_chosen=is_chosen)] = None
    return tuple(found)


def _require_used(remaps: Mapping[str, str], nodes: Sequence[ScenarioNode]) -> None:
    """Make sure that every remapping is of a topic that a task listens to.

    Raises:
        InputError: one is not, and would be without effect.
    """
    inputs = dict.fromkeys(camera for node in nodes for camera in node.values["cameras"])
    inputs["detections"] = None
    known = {*inputs, *(f"{node.name}:{name}" for node in nodes for name in inputs)}
    for name in remaps.keys() - known:
        raise InputError(
            f"--remap {name}:={remaps[name]}: no task of the scenario listens to {name}; there are "
            f"{', '.join(inputs)}, also of one task alone: {nodes[0].name}:{next(iter(inputs))}"
        )


def _detector(
    node: ScenarioNode,
    file: ScenarioFile,
    cameras: Mapping[str, tuple[str, ...]],
    remaps: Mapping[str, str],
) -> str:
    """The task whose boxes a node classifies: the one that is named, or the only one.

    Raises:
        InputError: it cannot be told which one it is.
    """
    if node.values.get("regions") != "detections":
        return ""
    finders = [
        each.name
        for each in file.nodes
        if each.task in _FINDERS and set(cameras[node.name]) <= set(cameras[each.name])
    ]
    topic = resolve_topic("detections", node.name, remaps)
    named = [name for name in finders if topic == f"/{name}/detections"]
    chosen = named or finders
    if len(chosen) != 1 or (topic != "/detections" and not named):
        known = ", ".join(f"/{name}/detections" for name in finders) or "none"
        raise InputError(
            f"{node.name} classifies boxes of a detector, and {topic} is not one of this "
            f"scenario's on its cameras; there are: {known}. Name the one that is meant: "
            f"--remap {node.name}:detections:=/object_detection/detections"
        )
    return chosen[0]


def _remarks(tasks: Sequence[DirectTask]) -> list[str]:
    return [
        f"{task.name}: {task.network.name} has random weights: memory and speed are real, results "
        "mean nothing"
        for task in tasks
        if task.network.is_random
    ]
