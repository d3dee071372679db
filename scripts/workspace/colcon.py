"""The colcon build into `build/`, `install/` and `log/`: done when a source file changed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import virtualenv
from machine import INSTALL, ROOT, SetupError, require_build_tools, say

_STAMP = INSTALL / ".sources"
_FILES = ("package.xml", "CMakeLists.txt")
_FOLDERS = ("msg", "launch", "config", "scripts", "swapnet_core", "swapnet_ros")
_LOG_LINES = 40


def ensure_built(variables: Mapping[str, str]) -> None:
    """Build unless the installed files come from the sources as they are now.

    Args:
        variables: environment of the build, from `environment.for_build`.

    Raises:
        SetupError: colcon failed; its last lines are printed.
    """
    digest = _digest_of_sources(variables)
    if _STAMP.exists() and _STAMP.read_text(encoding="utf-8") == digest:
        return
    require_build_tools()
    shutil.rmtree(INSTALL, ignore_errors=True)  # a deleted or renamed module must not live on
    say("building with colcon")
    _build(variables)
    _STAMP.write_text(digest, encoding="utf-8")


def _build(variables: Mapping[str, str]) -> None:
    # fmt: off
    command = [
        str(virtualenv.python()), "-m", "colcon", "build", "--merge-install", "--paths", ".",
        "--packages-select", "swapnet_ros", "--event-handlers", "console_direct-",
        "--cmake-args", "-DBUILD_TESTING=OFF", f"-DPython3_EXECUTABLE={virtualenv.python()}",
    ]
    # fmt: on
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=dict(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        print("\n".join(done.stdout.splitlines()[-_LOG_LINES:]), file=sys.stderr)
        raise SetupError(f"colcon failed; the whole log is in {ROOT / 'log' / 'latest_build'}")


def _digest_of_sources(variables: Mapping[str, str]) -> str:
    digest = hashlib.sha256(variables.get("AMENT_PREFIX_PATH", "").encode())
    for path in _sources():
        digest.update(f"{path.relative_to(ROOT)}\0{path.stat().st_mode:o}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    yield from (ROOT / name for name in _FILES)
    for folder in _FOLDERS:
        files = (path for path in (ROOT / folder).rglob("*") if path.is_file())
        yield from sorted(path for path in files if path.suffix != ".pyc")
