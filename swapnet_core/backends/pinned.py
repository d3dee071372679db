"""Pinned host memory of exact size, from which a device copies."""

from __future__ import annotations

import torch

from swapnet_core.backends.cuda_calls import CudaCalls, Queue
from swapnet_core.backends.large_pages import anonymous_pages


class PinnedPages:
    """Pages of the host that stay where they are. Any thread.

    Attributes:
        tensor: uint8, over all of them.
        view: the same bytes.
    """

    def __init__(self, calls: CudaCalls, size_bytes: int) -> None:
        """Allocate and pin them; `size_bytes` is rounded up to pages.

        Raises:
            OutOfMemoryError: the system refuses pinned memory.
        """
        self._calls = calls
        memory = anonymous_pages(size_bytes)
        with torch.inference_mode(False):
            self.tensor = torch.frombuffer(memory, dtype=torch.uint8)
        self.view = memoryview(memory)
        calls.pin(self.tensor)

    @property
    def size_bytes(self) -> int:
        """Of all pages."""
        return self.tensor.numel()

    def close(self) -> None:
        """Unpin them, when the copies are done."""
        self._calls.wait_for(Queue.COPY)
        self._calls.unpin(self.tensor)

    def __repr__(self) -> str:
        return f"<PinnedPages {self.size_bytes} bytes>"
