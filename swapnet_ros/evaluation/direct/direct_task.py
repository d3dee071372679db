"""A scenario's tasks, as far as they can be run on a recording."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swapnet_core.errors import InputError
from swapnet_ros.perception.tasks.analysis import TASK_KINDS, TaskKind

_COMPRESSED = "/compressed"

# Parameters that say when a node does something and how fast, not what it finds.
_ABOUT_TIME = frozenset(
    (
        *("autostart", "cameras", "image_transport", "max_rate_hz", "max_age_s", "deadline_s"),
        *("priority", "cuda_graphs", "detections_wait_s", "waiting_images"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectTask:
    """One task, its network and the topics that it looks at.

    Attributes:
        name: of the task's node.
        task: what it does, a key of `TASK_KINDS`.
        topics: image topics of the bag.
        detector: name of the task whose boxes it classifies; empty for most.
        values: the parameters.
        network: with `name`, `is_random`, `build`, `example_inputs` and `weights`.
    """

    name: str
    task: str
    topics: tuple[str, ...]
    detector: str
    values: Mapping[str, Any]
    network: Any

    @property
    def kind(self) -> TaskKind:
        """What sets the task apart from others."""
        return TASK_KINDS[self.task]

    @property
    def rate_hz(self) -> float | None:
        """Inferences per second that are wanted; None: as often as there is time."""
        return self.values["max_rate_hz"] or None

    @property
    def cuda_graphs(self) -> bool:
        """Whether the network's kernels are captured, on a GPU."""
        return bool(self.values["cuda_graphs"])

    def describe(self) -> dict[str, Any]:
        """All that decides about results, of JSON types."""
        told = {key: each for key, each in self.values.items() if key not in _ABOUT_TIME}
        return {
            "task": self.task,
            "network": self.network.name,
            "random_weights": self.network.is_random,
            "topics": list(self.topics),
            **({"detector": self.detector} if self.detector else {}),
            "parameters": told,
        }


def resolve_topic(name: str, node: str, remaps: Mapping[str, str]) -> str:
    """Return a topic's full name, as a node without a namespace would.

    Args:
        name: relative, private (`~/`) or absolute.
        node: the node's name.
        remaps: from names to names; `node:name` goes before `name`.
    """
    new = remaps.get(f"{node}:{name}", remaps.get(name, name))
    if new.startswith("~/"):
        return f"/{node}/{new[2:]}"
    return new if new.startswith("/") else f"/{new}"


def find_camera(topic: str, available: Collection[str], *, is_chosen: bool = False) -> str:
    """Find a camera's images in a bag, raw or compressed.

    A bag with one image topic is taken for the camera, whatever its name, unless somebody has
    said which topic it is.

    Args:
        topic: the camera's full name.
        available: the bag's image topics.
        is_chosen: the name was given for this bag.

    Raises:
        InputError: there is no such topic; names those that there are and what to write.
    """
    if not available:
        raise InputError("the bag has no image topics; `swapnet bag BAG --info` lists what it has")
    for wanted in (topic, topic + _COMPRESSED, topic.removesuffix(_COMPRESSED)):
        if wanted in available:
            return wanted
    if len(available) == 1 and not is_chosen:
        return next(iter(available))
    told = f"the bag has no images on {topic}; its image topics are {', '.join(sorted(available))}"
    if is_chosen:
        raise InputError(told)
    nearest = (difflib.get_close_matches(topic, available, n=1) or sorted(available))[0]
    raise InputError(
        f"{told}. Name the one that is meant: --remap {topic.removeprefix('/')}:={nearest}"
    )


def in_order(tasks: Sequence[DirectTask]) -> tuple[DirectTask, ...]:
    """Put detectors before the tasks that classify their boxes; else the order stays."""
    return tuple(sorted(tasks, key=lambda task: bool(task.detector)))
