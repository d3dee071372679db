"""Which task nodes a process hosts. No rclpy in here, as in `parameter_specs`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from swapnet_ros.nodes.errors import ParameterValueError
from swapnet_ros.nodes.parameter_tables import TASKS

CORE_NODE = "swapnet"
CAMERAS_NODE = "swapnet_cameras"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedNode:
    """One entry of the parameter `nodes`: a node's name and its task."""

    name: str
    task: str


def parse_nodes(entries: Sequence[str]) -> tuple[HostedNode, ...]:
    """Read the parameter `nodes`.

    Args:
        entries: `task` or `name=task` each.

    Returns:
        The nodes to host, in the order given.

    Raises:
        ParameterValueError: an unknown task, an impossible name, or a name given twice.
    """
    hosted: list[HostedNode] = []
    taken = {CORE_NODE, CAMERAS_NODE}
    for entry in entries:
        name, has_name, task = entry.partition("=")
        node = HostedNode(name=name, task=task if has_name else name)
        if node.task not in TASKS:
            raise ParameterValueError(f"nodes: no task {node.task!r}{_suggestion(node.task)}")
        if not re.fullmatch(r"[A-Za-z_]\w*", node.name, re.ASCII):
            raise ParameterValueError(f"nodes: {node.name!r} cannot be the name of a node")
        if node.name in taken:
            raise ParameterValueError(f"nodes: two nodes would be called {node.name!r}")
        taken.add(node.name)
        hosted.append(node)
    return tuple(hosted)


def _suggestion(task: str) -> str:
    close = difflib.get_close_matches(task, TASKS, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(TASKS)}"
