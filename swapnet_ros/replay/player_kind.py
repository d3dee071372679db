"""Who plays a bag. Imports nothing: the command names this as an option."""

from __future__ import annotations

from enum import Enum


class PlayerKind(str, Enum):
    """Who plays the bag."""

    OWN = "own"
    ROS2BAG = "ros2bag"
