"""A region whose slots are parts of one tensor."""

from __future__ import annotations

import torch

from swapnet_core.specs import WeightSpec
from swapnet_core.tensors import view_bytes


class TensorRegion:
    """What regions have in common, wherever their memory is. Any thread."""

    def __init__(self, data: torch.Tensor) -> None:
        """Take memory over.

        Args:
            data: uint8 [size_bytes], on the device. Its storage may be emptied when it is freed.
        """
        self._bytes = data
        self._begin = data.data_ptr()
        self._size_bytes = data.numel()

    @property
    def size_bytes(self) -> int:
        """Length of the region."""
        return self._size_bytes

    def weight_view(self, offset_bytes: int, weight: WeightSpec) -> torch.Tensor:
        """Return a tensor over the region's bytes, without copying them."""
        return view_bytes(self._bytes[offset_bytes : offset_bytes + weight.size_bytes], weight)

    def holds(self, tensor: torch.Tensor) -> bool:
        """Tell whether a tensor's storage is this region."""
        address = tensor.untyped_storage().data_ptr()
        return self._begin <= address < self._begin + self._size_bytes
