"""How memory and time are measured while a network runs: on the host, or on a CUDA device."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from swapnet_core import memory
from swapnet_core.backends.cuda_calls import CudaCalls, Queue
from swapnet_core.backends.device_copies import ALLOCATION_BYTES
from swapnet_core.heap_plugs import HeapPlugs
from swapnet_core.sizes import MIB
from swapnet_core.specs import round_up

_MOST_KEPT_OF_SMALL_BYTES = 4 * MIB
_SLACK_OF_SMALL_BYTES = MIB
_SLACK_SHARE = 1 / 32
_TRIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """What memory costs beside the bytes that are asked for.

    Attributes:
        granule_bytes: every allocation is a multiple of it.
        region_bytes: by which a region may cost more than its size.
        counts_host: whether what the host keeps of a network counts in the budget.
    """

    granule_bytes: int
    region_bytes: int
    counts_host: bool

    def of_buffers(self, sizes_bytes: list[int]) -> int:
        """Return what buffers of some sizes cost."""
        return sum(round_up(size, self.granule_bytes) for size in sizes_bytes)


class Gauge(Protocol):
    """Measures the device on which a network is traced. For the thread that runs it."""

    @property
    def overhead(self) -> Overhead:
        """What memory costs beside what is asked for."""
        ...

    def held_bytes(self) -> int:
        """Return what is held now, without what is only kept for later."""
        ...

    @property
    def tries(self) -> int:
        """How many passes show what is kept for later; 0: that is chance, or does not count."""
        ...

    def in_order(self) -> AbstractContextManager[None]:
        """Put memory in order meanwhile, as it is put in order for inferences."""
        ...

    def kept_beside(self, live_bytes: int, found_share: float | None) -> int:
        """Return how much may be kept for later beside so much that is live at the peak.

        Args:
            live_bytes: at the peak.
            found_share: the most that the passes found, relative to what is live; None: no passes.
        """
        ...

    def tidy(self) -> None:
        """Give back what is kept for later, before an operator."""
        ...

    def reset_peak(self) -> None:
        """Start a new measurement of the peak."""
        ...

    def peak_bytes(self) -> int:
        """Return the most that was held since `reset_peak`."""
        ...

    def apart(self) -> AbstractContextManager[None]:
        """Let nothing that is kept for long lie between activations."""
        ...

    def mark(self) -> Any:
        """Take note of the present moment of compute."""
        ...

    def settle(self) -> None:
        """Wait until compute has come to all marks."""
        ...

    def seconds_between(self, first: Any, second: Any) -> float:
        """Tell the time between two marks, after `settle`."""
        ...


class HostGauge:
    """The process's private memory, and the host's clock. See `Gauge`."""

    overhead = Overhead(granule_bytes=1, region_bytes=0, counts_host=True)

    def held_bytes(self) -> int:
        """See `Gauge`."""
        memory.return_free_memory()
        return memory.anonymous_bytes()

    @property
    def tries(self) -> int:
        """See `Gauge`."""
        return 0 if memory.has_thread_caches() else _TRIES

    @contextlib.contextmanager
    def in_order(self) -> Iterator[None]:
        """See `Gauge`. Holes in the heap are taken."""
        plugs = HeapPlugs()
        plugs.renew()
        try:
            yield
        finally:
            plugs.remove()

    def kept_beside(self, live_bytes: int, found_share: float | None) -> int:
        """See `Gauge`. By chance malloc keeps no more than this in most cases."""
        by_chance_bytes = live_bytes // 2 + min(2 * live_bytes, _MOST_KEPT_OF_SMALL_BYTES)
        if found_share is None:
            return by_chance_bytes
        found_bytes = int((found_share + _SLACK_SHARE) * live_bytes)
        return min(found_bytes + min(2 * live_bytes, _SLACK_OF_SMALL_BYTES), by_chance_bytes)

    def tidy(self) -> None:
        """See `Gauge`."""
        memory.return_free_memory()

    def reset_peak(self) -> None:
        """See `Gauge`."""
        memory.reset_peak()

    def peak_bytes(self) -> int:
        """See `Gauge`."""
        return memory.peak_anonymous_bytes()

    def apart(self) -> AbstractContextManager[None]:
        """See `Gauge`."""
        return memory.tensors_out_of_heap()

    def mark(self) -> float:
        """See `Gauge`."""
        return time.perf_counter()

    def settle(self) -> None:
        """See `Gauge`. The host has come to every mark that it has made."""

    def seconds_between(self, first: float, second: float) -> float:
        """See `Gauge`."""
        return second - first


class DeviceGauge:
    """What torch's allocator has handed out, and the device's clock. See `Gauge`.

    cuDNN's workspaces come from that allocator inside operators, and cuBLAS' from it once, to be
    kept. So cuBLAS' are dropped before a pass: each network is counted with them, and the largest
    network's peak counts once. The allocator's peak is the whole process's: who allocates on the
    device from another thread during a trace is counted, too.
    """

    tries = 0

    def __init__(self, calls: CudaCalls, overhead: Overhead) -> None:
        self.overhead = overhead
        self._calls = calls

    def held_bytes(self) -> int:
        """See `Gauge`."""
        self._calls.drop_workspaces()
        return self._calls.allocated_bytes()

    def in_order(self) -> AbstractContextManager[None]:
        """See `Gauge`. There is nothing to do."""
        return contextlib.nullcontext()

    def kept_beside(self, live_bytes: int, found_share: float | None) -> int:
        """See `Gauge`. What the allocator keeps is not counted."""
        return 0

    def tidy(self) -> None:
        """See `Gauge`. What the allocator keeps for later is not counted."""

    def reset_peak(self) -> None:
        """See `Gauge`."""
        self._calls.reset_peak()

    def peak_bytes(self) -> int:
        """See `Gauge`."""
        return self._calls.peak_bytes()

    def apart(self) -> AbstractContextManager[None]:
        """See `Gauge`. Of the host's heap; the device's allocator has no need of it."""
        return memory.tensors_out_of_heap()

    def mark(self) -> Any:
        """See `Gauge`."""
        return self._calls.record(Queue.COMPUTE)

    def settle(self) -> None:
        """See `Gauge`."""
        self._calls.wait_for(Queue.COMPUTE)

    def seconds_between(self, first: Any, second: Any) -> float:
        """See `Gauge`."""
        return self._calls.seconds_between(first, second)


HOST_GAUGE = HostGauge()

# torch's allocator hands a large block out whole where less than 1 MiB of it would be left
# (`should_split` in its CUDACachingAllocator.cpp), and counts it so.
DISCRETE = Overhead(granule_bytes=ALLOCATION_BYTES, region_bytes=MIB, counts_host=False)
SHARED = Overhead(granule_bytes=ALLOCATION_BYTES, region_bytes=0, counts_host=True)
