"""The parameters of every node, as tables. `docs/nodes.md` is generated from them."""

from __future__ import annotations

from swapnet_core.sizes import parse_size
from swapnet_core.thread_priority import HIGHEST, LOWEST
from swapnet_ros.nodes.parameter_specs import ParameterSpec, Value
from swapnet_ros.nodes.task_parameters import (
    FIRE_DETECTION,
    LANE_DETECTION,
    NATURAL_SCENE_CLASSIFICATION,
    OBJECT_DETECTION,
    SEMANTIC_SEGMENTATION,
    TRAFFIC_LIGHT_CLASSIFICATION,
    TRAFFIC_SIGN_CLASSIFICATION,
    WILD_ANIMAL_RECOGNITION,
)

DEFAULT_NODES = ["object_detection"]
DEFAULT_BUDGET = "256MiB"
AUTO = "auto"


def _check_budget(value: Value) -> None:
    if value != AUTO:
        parse_size(str(value))


def _check_host_budget(value: Value) -> None:
    if value:
        parse_size(str(value))


SWAPNET = (
    ParameterSpec(
        name="budget",
        default=DEFAULT_BUDGET,
        description="Ceiling for the memory that all networks of the process hold together, such "
        "as `96MiB`; or `auto`: what the system has free, followed while it changes. A value that "
        "is too small is refused, and the answer names the bytes needed.",
        is_live=True,
        check=_check_budget,
    ),
    ParameterSpec(
        name="device",
        default="auto",
        description="Device the networks run on: `auto`, `cpu`, or another one that the core has.",
    ),
    ParameterSpec(
        name="host_budget",
        default="",
        description="With `device: cuda`: ceiling for pinned host memory in which weights stay "
        "after their first read, such as `4GiB`. Empty: weights come from storage each time.",
        check=_check_host_budget,
    ),
    ParameterSpec(
        name="read_priority",
        default=LOWEST,
        description="With `device: cpu`, where torch computes on all cores: real-time priority of "
        "the threads that read, so that they do not wait for compute; 0: none. Where the process "
        "may not have it, or compute leaves a core, they are ordinary threads, and the diagnostics "
        "say 0.",
        minimum=0,
        maximum=HIGHEST,
    ),
    ParameterSpec(
        name="cache_dir",
        default="",
        description="Folder for the block files, best on a fast local disk; empty: the user's "
        "cache folder.",
    ),
    ParameterSpec(
        name="nodes",
        default=DEFAULT_NODES,
        description="Task nodes of this process: a task's name, or `name=task` for a node of "
        "another name, such as `detection_north=object_detection`.",
    ),
)

TASKS: dict[str, tuple[ParameterSpec, ...]] = {
    "object_detection": OBJECT_DETECTION,
    "lane_detection": LANE_DETECTION,
    "semantic_segmentation": SEMANTIC_SEGMENTATION,
    "traffic_sign_classification": TRAFFIC_SIGN_CLASSIFICATION,
    "traffic_light_classification": TRAFFIC_LIGHT_CLASSIFICATION,
    "natural_scene_classification": NATURAL_SCENE_CLASSIFICATION,
    "fire_detection": FIRE_DETECTION,
    "wild_animal_recognition": WILD_ANIMAL_RECOGNITION,
}
