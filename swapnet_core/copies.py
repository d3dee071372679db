"""Private copies of single weights: for tracing, faults and looking at a swapped network."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Sequence

import torch

from swapnet_core.backends.base import CopyMemory
from swapnet_core.specs import WeightSpec
from swapnet_core.tensors import as_parameter, view_bytes

FillWeight = Callable[[int, memoryview], int]
"""Reads a weight into page-aligned memory; returns where in it the weight starts."""


class PrivateCopies:
    """Makes copies whose memory lives exactly as long as something refers to it.

    Any thread; a copy may die in any thread.
    """

    def __init__(self, weights: Sequence[WeightSpec], fill: FillWeight, memory: CopyMemory) -> None:
        """Make none yet.

        Args:
            weights: that copies are made of.
            fill: reads one.
            memory: where copies lie, unless `make` is told otherwise.
        """
        self.memory = memory
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

    def make(
        self,
        index: int,
        on_free: Callable[[], None] | None = None,
        memory: CopyMemory | None = None,
    ) -> torch.nn.Parameter:
        """Read a weight into memory of its own.

        Args:
            index: of the weight.
            on_free: called when the last reference to the copy's storage has gone.
            memory: where it is to lie.

        Raises:
            StorageError, WeightsMismatchError: its source cannot be read.
            MemoryError: there is no room in the memory.
        """
        weight = self._weights[index]
        made = (memory or self.memory).make(
            weight.size_bytes, lambda target: self._fill(index, target)
        )
        self._made_bytes += made.held_bytes
        weakref.finalize(made.owner, self._freed.append, made.held_bytes)
        if on_free is not None:
            weakref.finalize(made.owner, on_free)
        return as_parameter(view_bytes(made.data, weight), weight)
