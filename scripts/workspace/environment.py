"""Environment variables: what `setup.bash` would export, without a shell.

The ROS 2 wheels re-execute every interpreter once to set `LD_LIBRARY_PATH`, unless a guard
variable says that this is done; presetting both saves each process its second start.

Many containers set `PYTHONDONTWRITEBYTECODE`. uv installs no bytecode, so that every process would
compile what it imports of torch again, for seconds: in our environment it is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from machine import INSTALL, ROOT, VENV, RosSource

_LISTS = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH")
_WHEELS_GUARD = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"
_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"


def for_build(ros: RosSource) -> dict[str, str]:
    """Return the variables under which CMake finds ROS 2 and the virtual environment's Python."""
    variables = _without_ours(os.environ)
    variables["VIRTUAL_ENV"] = str(VENV)
    if _NO_BYTECODE in variables:
        variables[_NO_BYTECODE] = ""  # as good as absent, also where a shell exports it
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


def _without_ours(variables: Mapping[str, str]) -> dict[str, str]:
    """Undo `for_use`, so that a set-up inside of the environment comes to the same result."""
    cleaned = dict(variables)
    for name in _LISTS:
        entries = [entry for entry in cleaned.pop(name, "").split(os.pathsep) if entry]
        kept = [entry for entry in entries if not Path(entry).is_relative_to(ROOT)]
        if kept:
            cleaned[name] = os.pathsep.join(kept)
    return cleaned


def _installed_modules() -> Path:
    """Find the install space's module folder, whose name differs between distributions."""
    return next(INSTALL.rglob("*-packages/swapnet_core")).parent


def _wheel_libraries() -> list[Path]:
    return sorted((VENV / "lib").glob("python3*/site-packages/ros_*.libs"))


def _prepend(variables: dict[str, str], name: str, paths: Iterable[Path]) -> None:
    old = variables.get(name)
    variables[name] = os.pathsep.join([*map(str, paths), *([old] if old else [])])
