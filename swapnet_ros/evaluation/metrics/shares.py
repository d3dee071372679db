"""Parts of a whole."""

from __future__ import annotations


def share(part: float, whole: float) -> float | None:
    """A part of a whole; None, which is null in JSON, where there is no whole."""
    return part / whole if whole else None
