"""The two players, as commands: the project's own, and `ros2 bag play` where that is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from swapnet_core.errors import InputError
from swapnet_ros.evaluation.bags.reader import BagReader
from swapnet_ros.nodes.drive_jobs import ros_parameters
from swapnet_ros.replay.player_kind import PlayerKind

_PATIENCE_S = 30.0
_CLOCK_HZ = 100
_DELAY_S = 3.0  # it does not wait for subscribers, who have to find it first
_STORAGES = {".mcap": "mcap", ".db3": "sqlite3"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedTopic:
    """One image topic of a bag, and where it is played.

    Attributes:
        name: in the bag.
        played_as: in the ROS graph.
    """

    name: str
    played_as: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """How a bag is played.

    Attributes:
        kind: who plays it.
        bag: its path.
        topics: what is played of it.
        program: the executable of the project's own player.
        storage: what `ros2 bag play` calls the bag's storage; empty to let it find out.
    """

    kind: PlayerKind
    bag: Path
    topics: Sequence[PlayedTopic]
    program: Path
    storage: str = ""

    def command(self, rate: float) -> list[str]:
        """The command that plays the bag once.

        Args:
            rate: bag seconds per second.
        """
        moved = [f"{each.name}:={each.played_as}" for each in self._moved()]
        names = [each.name for each in self.topics]
        if self.kind is PlayerKind.OWN:
            values = {"bag": str(self.bag), "topics": names, "rate": float(rate)}
            remaps = [word for each in moved for word in ("-r", each)]
            return [str(self.program), "--ros-args", *ros_parameters(values), *remaps]
        words = ["ros2", "bag", "play", str(self.bag)]
        words += ["--storage", self.storage] if self.storage else []
        words += ["--clock", str(_CLOCK_HZ), "--rate", str(rate), "--delay", str(_DELAY_S)]
        words += ["--disable-keyboard-controls", "--topics", *names]
        return words + (["--remap", *moved] if moved else [])

    def _moved(self) -> list[PlayedTopic]:
        return [each for each in self.topics if each.played_as != each.name]


def storage_of(bag: BagReader) -> str:
    """What `ros2 bag play` calls the storage of a bag; empty where it finds out itself."""
    return _STORAGES.get(bag.files[0].suffix, "")


def require_ros2bag() -> None:
    """Make sure that `ros2 bag play` is there.

    Raises:
        InputError: it is not; says what to install.
    """
    remedy = (
        "source a ROS 2 install that has it (package ros-DISTRO-ros2bag, and "
        "ros-DISTRO-rosbag2-storage-mcap for MCAP), or play with --player own"
    )
    if shutil.which("ros2") is None:
        raise InputError(f"--player ros2bag: there is no command `ros2` here; {remedy}")
    done = subprocess.run(
        ["ros2", "bag", "play", "--help"],
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise InputError(
            f"--player ros2bag: `ros2 bag play` does not run here ({' '.join(reason)}); {remedy}"
        )


def read_summary(last_line: str) -> Mapping[str, int] | None:
    """Read how many images of each topic the project's own player played; None where it told not.

    Args:
        last_line: of its output.
    """
    try:
        played: Mapping[str, int] = json.loads(last_line)["played"]
    except (ValueError, KeyError, TypeError):
        return None
    return played
