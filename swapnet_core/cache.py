"""Where block files and profiles are kept."""

from __future__ import annotations

import os
from pathlib import Path


def default_cache_dir() -> Path:
    """Return `$XDG_CACHE_HOME/swapnet`, or `~/.cache/swapnet`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "swapnet"
