"""Where figures come from: the program's commit, and the storage that weights were read from."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

_GIT_PATIENCE_S = 5.0
_MOUNTS = Path("/proc/self/mountinfo")


def describe_commit() -> str:
    """Return the commit of this source tree, with `+changes` where files differ from it.

    Empty where this is no git checkout (an installed package), or there is no git.
    """
    folder = Path(__file__).resolve().parent
    commit = _git(folder, "rev-parse", "HEAD")
    tracked = _git(folder, "ls-files", "--error-unmatch", Path(__file__).name)
    if not commit or not tracked:  # a checkout of something else around an installed package
        return ""
    return commit + ("+changes" if _git(folder, "status", "--porcelain", "-uno") else "")


def describe_storage(folder: Path) -> dict[str, Any]:
    """Name the file system that holds a folder, or the nearest folder above that exists."""
    present = folder.absolute()
    while not present.exists():
        present = present.parent
    number = present.stat().st_dev
    wanted = f"{os.major(number)}:{os.minor(number)}"
    found = {"folder": str(folder)}
    try:
        lines = _MOUNTS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return found  # not Linux's /proc
    for line in lines:
        fields, _, rest = line.partition(" - ")
        if fields.split()[2] == wanted:
            kind, source, *_ = rest.split()
            return {**found, "file_system": kind, "source": source}
    return found


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            timeout=_GIT_PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
