"""What the threads of a perception process are there for, by their names. Pure."""

from __future__ import annotations

import re

COMPUTE = "the networks' compute (`swapnet-infer`)"

# The first that fits. Python's threads have the names of the code; others have the kernel's.
_PYTHON = (
    (r"swapnet-infer", COMPUTE),
    (r"swapnet-fetch-\d+", "reading blocks (`swapnet-fetch`)"),
    (r"swapnet-spin-swapnet_cameras", "receiving images (`swapnet-spin-swapnet_cameras`)"),
    (r"swapnet-spin-.*", "callbacks: timers, diagnostics, status (`swapnet-spin`)"),
    (r"swapnet-(memory|admission).*", "budget and admission"),
    (r"swapnet-.*", "converting, preparing, decoding, publishing (`swapnet-NODE`)"),
)
_NATIVE = ((r"dds\..*", "DDS's own threads"),)


def group_of(name: str, *, is_python: bool) -> str:
    """Return the group that a thread belongs to.

    Args:
        name: in Python, or the kernel's for threads that Python does not know.
        is_python: which of the two it is.
    """
    for pattern, group in _PYTHON if is_python else _NATIVE:
        if re.fullmatch(pattern, name):
            return group
    return "other threads of Python" if is_python else "other threads of libraries"
