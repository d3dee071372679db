"""The virtual environment `.venv`: made once, refreshed when a requirement file changes."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import machine
from machine import ROOT, VENV, RosSource, SetupError

_REQUIREMENTS = ROOT / "requirements"
_LOCK = ROOT / "requirements.lock"
_LOCKED_PYTHON = (3, 11)
_STAMP = VENV / "swapnet_ros.json"

# The two paths of the machine that built the ROS 2 wheels, as their CMake files export them.
_BUILD_TIME_INCLUDE = re.compile(r"/opt/python/cp3\d+-cp3\d+/include/python3\.\d+")
_BUILD_TIME_PURELIB = re.compile(r"/opt/python/cp3\d+-cp3\d+/lib/python3\.\d+/site-packages")


def python() -> Path:
    """Return the virtual environment's interpreter."""
    return VENV / "bin" / "python"


def ensure(ros: RosSource) -> None:
    """Make `.venv` and install what is missing; costs nothing when its stamp is current.

    Raises:
        SetupError: system packages are missing, or the installation failed.
    """
    files = _requirement_files(ros)
    wanted = {"identity": _identity(ros), "requirements": _digest(files)}
    standing = _read_stamp()
    if standing == wanted:
        return
    machine.require_build_tools()
    if standing is None or standing["identity"] != wanted["identity"]:
        _create(ros)
    _STAMP.unlink(missing_ok=True)
    _install(files, ros)
    if ros.is_wheels:
        _rewrite_build_time_paths()
    _STAMP.write_text(json.dumps(wanted), encoding="utf-8")


def _requirement_files(ros: RosSource) -> list[Path]:
    if ros.is_wheels and sys.version_info[:2] == _LOCKED_PYTHON:
        return [_LOCK]
    groups = ["runtime", "test", "check", "colcon"]
    if ros.is_wheels:
        groups += ["opencv", "ros-wheels"]
    return [_REQUIREMENTS / f"{group}.txt" for group in groups]


def _identity(ros: RosSource) -> str:
    """Say what a virtual environment cannot be moved between: place, Python and ROS 2."""
    prefixes = ":".join(str(prefix) for prefix in ros.prefixes)
    return f"{VENV} {sys.base_prefix} {sys.version} {ros.distro} {prefixes}"


def _digest(files: list[Path]) -> str:
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def _read_stamp() -> dict[str, str] | None:
    try:
        stamp: dict[str, str] = json.loads(_STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # made anew; nothing is lost but time
    return stamp if python().exists() else None


def _create(ros: RosSource) -> None:
    print(f"set-up: making {VENV} (ROS 2: {ros.distro}, Python {sys.version.split()[0]})")
    shutil.rmtree(VENV, ignore_errors=True)
    venv.create(VENV, system_site_packages=not ros.is_wheels, with_pip=True, symlinks=True)


def _install(files: list[Path], ros: RosSource) -> None:
    """Install requirement files, with uv where it can be had.

    Over a sourced ROS 2 plain pip does it: only pip counts what the system's Python has already,
    and a second NumPy beside the one that ROS was compiled for would break it.
    """
    machine.require_torch_source()
    arguments = [part for path in files for part in ("-r", str(path))]
    pip = [str(python()), "-m", "pip", "--disable-pip-version-check"]
    print("set-up: installing Python packages; torch makes it some gigabytes the first time")
    if ros.is_wheels and _succeeds([*pip, "install", "--quiet", "uv"]):
        command = [str(VENV / "bin" / "uv"), "pip", "install", "--python", str(python())]
    else:
        command = [*pip, "install"]
    if not _succeeds([*command, "--quiet", *arguments]):
        raise SetupError(
            "the installation above failed. If torch is what it did not find, there is no wheel of "
            "it for this platform and Python: docs/install.md, 'torch', says what to do"
        )


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, check=False).returncode == 0


def _rewrite_build_time_paths() -> None:
    paths = sysconfig.get_paths()
    purelib = VENV / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    for file in (VENV / "share").rglob("*.cmake"):
        text = file.read_text(encoding="utf-8")
        here = _BUILD_TIME_INCLUDE.sub(lambda _: paths["include"], text)
        here = _BUILD_TIME_PURELIB.sub(lambda _: str(purelib), here)
        if here != text:
            file.unlink()  # the file may be a hard link into uv's cache
            file.write_text(here, encoding="utf-8")
