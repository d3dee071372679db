"""A plan's slots as one stretch: the streaming region, which it shares, and its own residents."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from swapnet_core.backends.base import CopyMemory, Landing, Mark, Region, Span
from swapnet_core.specs import SwapPlan, WeightSpec


class JoinedRegion:
    """Looks like one region: `[0, stream_bytes)` is the stream's, the rest the residents'.

    It owns neither: `free` is for those who allocated them. Any thread.
    """

    def __init__(self, plan: SwapPlan, stream: Region, residents: Region) -> None:
        self._border_bytes = plan.stream_bytes
        self._size_bytes = plan.region_bytes
        self._stream = stream
        self._residents = residents

    @property
    def size_bytes(self) -> int:
        """Length of both parts."""
        return self._size_bytes

    def open_landing(self, offset_bytes: int, size_bytes: int, released: Mark | None) -> Landing:
        """Prepare a read into one of the parts."""
        part, offset = self._find(offset_bytes)
        return part.open_landing(offset, size_bytes, released)

    def weight_view(self, offset_bytes: int, weight: WeightSpec) -> torch.Tensor:
        """Return a tensor over the region's bytes, without copying them."""
        part, offset = self._find(offset_bytes)
        return part.weight_view(offset, weight)

    def holds(self, tensor: torch.Tensor) -> bool:
        """Tell whether a tensor's storage is in one of the parts."""
        return self._stream.holds(tensor) or self._residents.holds(tensor)

    def give_up(self, spans: Sequence[Span], rest_bytes: int) -> CopyMemory:
        """Let copies have parts of the streaming region, also those behind the plan's part."""
        return self._stream.give_up(spans, rest_bytes)

    def free(self) -> None:
        """Do nothing: the parts belong to others."""

    def _find(self, offset_bytes: int) -> tuple[Region, int]:
        if offset_bytes < self._border_bytes:
            return self._stream, offset_bytes
        return self._residents, offset_bytes - self._border_bytes

    def __repr__(self) -> str:
        return f"<JoinedRegion {self._stream!r} {self._residents!r}>"
