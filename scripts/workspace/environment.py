"""Environment variables: what `setup.bash` would export, without a shell.

The ROS 2 wheels re-execute every interpreter once to set `LD_LIBRARY_PATH`, unless a guard
variable says that this is done; presetting both saves each process its second start.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from machine import INSTALL, VENV, RosSource

_WHEELS_GUARD = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"


def for_build(ros: RosSource) -> dict[str, str]:
    """Return the variables under which CMake finds ROS 2 and the virtual environment's Python."""
    variables = dict(os.environ)
    variables["VIRTUAL_ENV"] = str(VENV)
    _prepend(variables, "PATH", [VENV / "bin"])
    if ros.is_wheels:
        variables[_WHEELS_GUARD] = "1"
        _prepend(variables, "AMENT_PREFIX_PATH", [VENV])
        _prepend(variables, "CMAKE_PREFIX_PATH", [VENV])
        _prepend(variables, "LD_LIBRARY_PATH", [VENV / "lib", *_wheel_libraries()])
    return variables


def for_use(ros: RosSource) -> dict[str, str]:
    """Return `for_build` with the install space in front."""
    variables = for_build(ros)
    _prepend(variables, "AMENT_PREFIX_PATH", [INSTALL])
    _prepend(variables, "LD_LIBRARY_PATH", [INSTALL / "lib"])
    _prepend(variables, "PATH", [INSTALL / "bin"])
    _prepend(variables, "PYTHONPATH", [_installed_modules()])
    return variables


def _installed_modules() -> Path:
    """Find the install space's module folder, whose name differs between distributions."""
    return next(INSTALL.rglob("*-packages/swapnet_core")).parent


def _wheel_libraries() -> list[Path]:
    return sorted((VENV / "lib").glob("python3*/site-packages/ros_*.libs"))


def _prepend(variables: dict[str, str], name: str, paths: Iterable[Path]) -> None:
    """Put paths in front of a list variable, each once."""
    new = [str(path) for path in paths]
    old = [entry for entry in variables.get(name, "").split(os.pathsep) if entry]
    variables[name] = os.pathsep.join([*new, *(entry for entry in old if entry not in new)])
