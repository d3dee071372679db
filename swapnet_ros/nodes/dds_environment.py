"""DDS settings for processes of one machine that pass large images to each other.

[Note: the sender's side]
Fast DDS sends a message in fragments of 64 kB unless the *sender* has a transport that takes it in
one piece. So who publishes images needs the profile; who looks at them gets them without.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path

# These read the variable's older name only; later ones warn when it is set.
_OLDER_DISTROS = ("humble", "iron", "jazzy")
_OLDER_NAME, _NAME = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
# Whoever sets one of these has chosen the transports; an empty value chooses Fast DDS's own.
_CHOICES = (_OLDER_NAME, _NAME, "FASTDDS_BUILTIN_TRANSPORTS")


def shared_memory_variables(profiles: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Return what to set for Fast DDS to send images through shared memory, in one piece.

    Other DDS vendors take no notice.

    Args:
        profiles: the Fast DDS profile, `config/fastdds_shared_memory.xml`.
        variables: the environment.

    Returns:
        One variable; none where the user has chosen the transports.
    """
    if any(name in variables for name in _CHOICES):
        return {}
    is_older = variables.get("ROS_DISTRO") in _OLDER_DISTROS
    return {_OLDER_NAME if is_older else _NAME: str(profiles)}


def prefer_shared_memory(profiles: Path, variables: MutableMapping[str, str] = os.environ) -> None:
    """Let Fast DDS pass images through shared memory, and keep the talk on this machine.

    Works for participants created after it, in this process and its children. What is set already
    is left as it is.

    Args:
        profiles: as for `shared_memory_variables`.
        variables: the environment to change.
    """
    variables.update(shared_memory_variables(profiles, variables))
    variables.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
