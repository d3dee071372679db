"""The bench set's networks, also on a machine without OpenCV."""

from __future__ import annotations

import importlib.util
import sys
import types

if importlib.util.find_spec("cv2") is None:
    # Networks are built here and run on tensors. Who prepares images would need OpenCV itself.
    sys.modules["cv2"] = types.ModuleType("cv2")

from swapnet_ros.cli.networks import NamedNetwork, named_network, parse_shape

__all__ = ["NamedNetwork", "find_network"]


def find_network(name: str) -> NamedNetwork:
    """Find a network.

    Args:
        name: as `swapnet bench` takes it, or that with `@` and an input shape: `NAME@1x3x224x224`.
    """
    name, _, shape = name.partition("@")
    return named_network(name, parse_shape(shape) if shape else None)
