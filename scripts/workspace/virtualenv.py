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
from machine import ROOT, VENV, RosSource, SetupError, say

_REQUIREMENTS = ROOT / "requirements"
_LOCK = ROOT / "requirements.lock"
_LOCKED_PYTHON = (3, 11)
_STAMP = VENV / "swapnet_ros.json"
_PIP = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install"]

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
    wanted = {"identity": _identity(ros), "requirements": _digest_of_requirements()}
    standing = _read_stamp()
    if standing == wanted:
        return
    machine.require_build_tools()
    if standing is None or standing["identity"] != wanted["identity"]:
        _create(ros)
    _STAMP.unlink(missing_ok=True)
    machine.require_torch_source()
    say("installing Python packages; torch makes it some gigabytes the first time")
    if ros.is_wheels:
        _install_with_wheels()
        _rewrite_build_time_paths()
    else:
        _install_over_ros()
    _STAMP.write_text(json.dumps(wanted), encoding="utf-8")


def _identity(ros: RosSource) -> str:
    """Say what a virtual environment cannot be moved between: place, Python and ROS 2."""
    prefixes = ":".join(str(prefix) for prefix in ros.prefixes)
    return f"{VENV} {sys.base_prefix} {sys.version} {ros.distro} {prefixes}"


def _digest_of_requirements() -> str:
    files = [_LOCK, *sorted(_REQUIREMENTS.glob("*.txt"))]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def _read_stamp() -> dict[str, str] | None:
    try:
        stamp: dict[str, str] = json.loads(_STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # made anew; nothing is lost but time
    return stamp if python().exists() else None


def _create(ros: RosSource) -> None:
    say(f"making {VENV} (ROS 2: {ros.distro}, Python {sys.version.split()[0]})")
    shutil.rmtree(VENV, ignore_errors=True)
    venv.create(VENV, system_site_packages=not ros.is_wheels, with_pip=True, symlinks=True)


def _install_with_wheels() -> None:
    """Install everything, ROS 2 included: what is locked where the lock fits, else the ranges."""
    if sys.version_info[:2] == _LOCKED_PYTHON:
        files = ["-r", str(_LOCK)]
    else:
        files = _options("runtime", "opencv", "test", "check", "colcon", "ros-wheels")
    installer = _PIP
    if _succeeds([*_PIP, "--quiet", "uv"]):
        installer = [str(VENV / "bin" / "uv"), "pip", "install", "--python", str(python())]
    _require([*installer, "--quiet", *files])


def _install_over_ros() -> None:
    """Install beside a sourced ROS 2.

    Plain pip does it, since only pip counts what the system's Python has already: a second NumPy
    beside the one that ROS was compiled for would break it. The tools, though, have to be the
    virtual environment's own, for their programs to see its packages.
    """
    _require([*_PIP, "--quiet", *_options("runtime", "colcon")])
    _require([*_PIP, "--quiet", "--ignore-installed", *_options("test", "check")])


def _options(*groups: str) -> list[str]:
    return [part for group in groups for part in ("-r", str(_REQUIREMENTS / f"{group}.txt"))]


def _require(command: list[str]) -> None:
    if not _succeeds(command):
        raise SetupError(
            "the installation above failed. If torch is what it did not find, there is no wheel of "
            "it for this platform and Python: docs/install.md, 'torch', says what to do"
        )


def _succeeds(command: list[str]) -> bool:
    # what it prints is no output of ours: see `say`
    return subprocess.run(command, stdout=sys.stderr, check=False).returncode == 0


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
