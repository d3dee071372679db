"""Sizes in bytes as people write them: `'96MiB'` <-> `100663296`."""

from __future__ import annotations

import re

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

_UNITS = {
    "": 1,
    "b": 1,
    "k": KIB,
    "kib": KIB,
    "kb": 1000,
    "m": MIB,
    "mib": MIB,
    "mb": 1000**2,
    "g": GIB,
    "gib": GIB,
    "gb": 1000**3,
}
_PATTERN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")


def parse_size(size: str | int) -> int:
    """Turn a size into bytes.

    Args:
        size: bytes as a number, or a number with a unit: `96MiB`, `1.5 GiB`, `500MB`, `64M`.
            `KiB/MiB/GiB` and `K/M/G` are powers of 1024, `kB/MB/GB` powers of 1000.

    Returns:
        The size in bytes, at least 1.

    Raises:
        ValueError: not a size, no such unit, or not positive.
    """
    if isinstance(size, bool) or not isinstance(size, (str, int)):
        raise ValueError(f"not a size: {size!r}; write bytes as a number, or '96MiB'")
    if isinstance(size, int):
        size_bytes = size
    else:
        match = _PATTERN.fullmatch(size)
        if match is None or match[2].lower() not in _UNITS:
            raise ValueError(f"not a size: {size!r}; write bytes as a number, or '96MiB'")
        size_bytes = round(float(match[1]) * _UNITS[match[2].lower()])
    if size_bytes < 1:
        raise ValueError(f"a size must be positive, not {size!r}")
    return size_bytes


def format_size(size_bytes: float) -> str:
    """Write bytes for people: `format_size(100663296) == '96.0 MiB'`."""
    for unit, factor in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if abs(size_bytes) >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes:.0f} B"
