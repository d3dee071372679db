"""Private copies of single weights: for tracing, faults and looking at a swapped network."""

from __future__ import annotations

import mmap
import weakref
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import torch

from swapnet_core.specs import PAGE_BYTES, WeightSpec, round_up
from swapnet_core.tensors import as_parameter, view_bytes

FillWeight = Callable[[int, memoryview], int]
"""Reads a weight into page-aligned memory; returns where in it the weight starts."""


class PrivateCopies:
    """Makes copies whose memory lives exactly as long as something refers to it.

    Each copy has pages of its own, so that dropping it returns them to the system at once. Any
    thread; a copy may die in any thread.
    """

    def __init__(self, weights: Sequence[WeightSpec], fill: FillWeight) -> None:
        self._weights = weights
        self._fill = fill
        self._made_bytes = 0
        self._freed: deque[int] = deque()  # appended by finalizers: deque.append takes no lock

    @property
    def live_bytes(self) -> int:
        """Bytes of copies that are still referred to."""
        while self._freed:
            self._made_bytes -= self._freed.popleft()
        return self._made_bytes

    def make(self, index: int, on_free: Callable[[], None] | None = None) -> torch.nn.Parameter:
        """Read a weight into fresh memory.

        Args:
            index: of the weight.
            on_free: called when the last reference to the copy's storage has gone.

        Raises:
            StorageError, WeightsMismatchError: its source cannot be read.
        """
        weight = self._weights[index]
        size_bytes = round_up(weight.size_bytes + PAGE_BYTES)
        memory = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        start = self._fill(index, memoryview(memory))
        array = np.frombuffer(memory, dtype=np.uint8)
        self._made_bytes += size_bytes
        weakref.finalize(array, self._freed.append, size_bytes)
        if on_free is not None:
            weakref.finalize(array, on_free)
        data = torch.from_numpy(array)[start : start + weight.size_bytes]
        return as_parameter(view_bytes(data, weight), weight)
