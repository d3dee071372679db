"""What the core asks of a device's memory."""

from __future__ import annotations

from typing import Protocol

import torch

from swapnet_core.specs import WeightSpec


class Region(Protocol):
    """One stretch of memory with a fixed address, in which slots lie."""

    @property
    def size_bytes(self) -> int:
        """Length of the region."""
        ...

    def host_view(self, offset_bytes: int, size_bytes: int) -> memoryview:
        """Return the writable bytes into which a read may go."""
        ...

    def weight_view(self, offset_bytes: int, weight: WeightSpec) -> torch.Tensor:
        """Return a tensor over the region's bytes, without copying them."""
        ...

    def holds(self, tensor: torch.Tensor) -> bool:
        """Tell whether a tensor's storage is this region."""
        ...

    def discard(self, offset_bytes: int, size_bytes: int) -> None:
        """Give pages back to the system; they come back as zeros when touched."""
        ...

    def free(self) -> None:
        """Give the memory back to the system. Views that are still around read zeros."""
        ...


class Backend(Protocol):
    """A device on which networks run."""

    @property
    def device(self) -> torch.device:
        """The torch device of weights and activations."""
        ...

    def allocate(self, size_bytes: int) -> Region:
        """Reserve a region; a multiple of the page size, at least one page."""
        ...
