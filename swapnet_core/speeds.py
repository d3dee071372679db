"""How fast storage and machine are of late, as far as plans care.

Figures are rounded to steps of 5 %: what drifts by less leaves plans, and all that is remembered
about them, as they are.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from swapnet_core.sizes import MIB

_STEP = 1.05
_SMALLEST_FLIGHT_BYTES = 4 * MIB
"""A shorter one is mostly the fixed cost of its first read."""
_ENOUGH_BYTES = 128 * MIB
_REMEMBERED_BYTES = 512 * MIB
_LEAST_READING_SHARE = 0.5
"""The fixed costs of two reads overlap, so not all of them can be taken off."""


def round_factor(factor: float) -> float:
    """Return the nearest power of 1.05.

    Args:
        factor: above 0.
    """
    return float(_STEP ** round(math.log(factor, _STEP)))


class _Flight(NamedTuple):
    """A time in which reads were under way without a break."""

    size_bytes: int
    blocks: int
    duration_s: float


class ReadSpeed:
    """The bandwidth of the last reads. For one thread at a time: its owner has the lock."""

    def __init__(self) -> None:
        self._flights: deque[_Flight] = deque()
        self._remembered_bytes = 0

    def add(self, *, size_bytes: int, blocks: int, duration_s: float) -> None:
        """Note a time in which reads were under way without a break.

        Args:
            size_bytes: read in it.
            blocks: whose reads began in it.
            duration_s: how long it was.
        """
        if size_bytes < _SMALLEST_FLIGHT_BYTES or duration_s <= 0.0:
            return
        self._flights.append(_Flight(size_bytes, blocks, duration_s))
        self._remembered_bytes += size_bytes
        while self._remembered_bytes - self._flights[0].size_bytes >= _REMEMBERED_BYTES:
            self._remembered_bytes -= self._flights.popleft().size_bytes

    def bandwidth_bytes_per_s(self, latency_s: float) -> float | None:
        """Return the bandwidth that explains the last reads; None after too few.

        Args:
            latency_s: fixed cost of one block's read.
        """
        if self._remembered_bytes < _ENOUGH_BYTES:
            return None
        taken_s = sum(flight.duration_s for flight in self._flights)
        fixed_s = latency_s * sum(flight.blocks for flight in self._flights)
        return self._remembered_bytes / max(taken_s - fixed_s, taken_s * _LEAST_READING_SHARE)

    def __repr__(self) -> str:
        return f"<ReadSpeed of {self._remembered_bytes // MIB} MiB>"
