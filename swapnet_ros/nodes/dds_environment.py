"""DDS settings for processes of one machine that pass large images to each other."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

# These read the variable's older name only; later ones warn when it is set.
_OLDER_DISTROS = ("humble", "iron", "jazzy")


def prefer_shared_memory(profiles: Path, variables: MutableMapping[str, str] = os.environ) -> None:
    """Let Fast DDS pass images through shared memory, and keep the talk on this machine.

    Works for participants created after it, in this process and its children. What is set already
    is left as it is; other DDS vendors take no notice.

    Args:
        profiles: the Fast DDS profile, `config/fastdds_shared_memory.xml`.
        variables: the environment to change.
    """
    is_older = variables.get("ROS_DISTRO") in _OLDER_DISTROS
    name = "FASTRTPS_DEFAULT_PROFILES_FILE" if is_older else "FASTDDS_DEFAULT_PROFILES_FILE"
    variables.setdefault(name, str(profiles))
    variables.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
