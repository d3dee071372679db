"""Parts that stand in for storage, devices and networks in tests. Public: shipped with the core.

>>> profile = simulated_profile(cell_bytes=[65536] * 8, steps=range(8))
>>> plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=3 * 65536)
>>> store = MemoryStore(stored_pattern(profile))
>>> region = SimulatedBackend().allocate(plan.region_bytes)
>>> lane = FetchPool().open_lane(plan, region, store.read_into)
"""

from __future__ import annotations

import contextlib
import gc
import mmap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch

from swapnet_core.backends.base import CopyMemory, Mark, Span
from swapnet_core.backends.cpu import HOST_COPIES, HOST_QUEUE, NO_SHELF, HostLanding
from swapnet_core.errors import InputError, InvariantError, StorageError
from swapnet_core.lane import Lane
from swapnet_core.ledger import MemoryLedger
from swapnet_core.runtime import SwapRuntime
from swapnet_core.specs import (
    NO_STEP,
    PAGE_BYTES,
    CellSpec,
    DeviceProfile,
    LayerSpec,
    NetworkProfile,
    NetworkTrace,
    SwapPlan,
    WeightSpec,
    round_up,
)
from swapnet_core.tensors import view_bytes

SIMULATED_DEVICE = DeviceProfile(
    read_bandwidth_bytes_per_s=1e9, read_latency_s=1e-4, compute_slowdown=0.05
)
"""Storage of 1 GB/s that answers after 0.1 ms."""

_STEP_COMPUTE_S = 1e-3
_IN_MEMORY = Path("in-memory")


class MemoryStore:
    """A block file in memory, whose reads can be slow, held back or broken. Any thread."""

    def __init__(self, content: bytes, delay_s: Callable[[], float] | None = None) -> None:
        """Hold a file's bytes.

        Args:
            content: of the file.
            delay_s: asked before every read, on the reading thread: seconds to sleep.
        """
        self._content = content
        self._delay_s = delay_s
        self._lock = threading.Lock()
        self._gate = threading.Event()
        self._gate.set()
        self._broken: dict[int, Exception] = {}
        self._reads: list[tuple[int, int]] = []

    @property
    def reads(self) -> list[tuple[int, int]]:
        """`(offset, size)` of every read so far, in the order in which they started."""
        with self._lock:
            return list(self._reads)

    def read_into(self, buffer: memoryview, offset_bytes: int) -> None:
        """Fill a buffer, as `DirectReader.read_into` does.

        Raises:
            StorageError: the range was broken by `break_page`.
        """
        with self._lock:
            self._reads.append((offset_bytes, len(buffer)))
        self._gate.wait()
        if self._delay_s is not None:
            time.sleep(self._delay_s())
        with self._lock:
            first, last = offset_bytes // PAGE_BYTES, (offset_bytes + len(buffer)) // PAGE_BYTES
            broken = [error for page, error in self._broken.items() if first <= page < last]
        if broken:
            raise broken[0]
        buffer[:] = self._content[offset_bytes : offset_bytes + len(buffer)]

    def hold_reads(self) -> None:
        """Let no read finish until `release_reads`."""
        self._gate.clear()

    def release_reads(self) -> None:
        """Let the held reads go on."""
        self._gate.set()

    @contextlib.contextmanager
    def broken(self, offset_bytes: int) -> Iterator[None]:
        """Make every read of a page fail meanwhile."""
        self.break_page(offset_bytes)
        try:
            yield
        finally:
            self.mend()

    def break_page(self, offset_bytes: int, error: Exception | None = None) -> None:
        """Make every read of a page fail, by default with a `StorageError`."""
        page = offset_bytes // PAGE_BYTES
        with self._lock:
            self._broken[page] = error or StorageError(f"page {page} is broken", path=_IN_MEMORY)

    def mend(self) -> None:
        """Undo `break_page`."""
        with self._lock:
            self._broken.clear()


class SimulatedRegion:
    """Memory that knows who writes and who reads it. Any thread.

    A fetch writes from `host_view` until it releases the view; compute reads inside `computing`.
    Both at once over the same bytes is what the pipeline must never do.
    """

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = round_up(max(size_bytes, 1))
        self._memory = mmap.mmap(-1, self._size_bytes)
        self._bytes = torch.from_numpy(np.frombuffer(self._memory, dtype=np.uint8))
        self._lock = threading.Lock()
        self._writers: list[tuple[int, int, memoryview]] = []
        self._readers: list[tuple[int, int]] = []

    @property
    def size_bytes(self) -> int:
        """Length of the region."""
        return self._size_bytes

    def host_view(self, offset_bytes: int, size_bytes: int) -> memoryview:
        """Return writable bytes, and take note that they are written to until it is released.

        Raises:
            InvariantError: compute is using some of them.
        """
        end = offset_bytes + size_bytes
        view = memoryview(self._memory)[offset_bytes:end]
        with self._lock:
            if _any_overlaps(offset_bytes, end, self._readers):
                raise InvariantError(f"a fetch writes [{offset_bytes}, {end}) while compute reads")
            self._writers = [writer for writer in self._writers if not _is_released(writer[2])]
            self._writers.append((offset_bytes, end, view))
        return view

    @contextlib.contextmanager
    def computing(self, offset_bytes: int, size_bytes: int) -> Iterator[bytes]:
        """Use bytes as a layer does: nothing may be written to them meanwhile.

        Yields:
            The bytes.

        Raises:
            InvariantError: a fetch is writing there.
        """
        span = (offset_bytes, offset_bytes + size_bytes)
        with self._lock:
            writers = [(b, e) for b, e, view in self._writers if not _is_released(view)]
            if _any_overlaps(*span, writers):
                raise InvariantError(f"compute reads {span} while a fetch writes there")
            self._readers.append(span)
        try:
            yield bytes(self._memory[span[0] : span[1]])
        finally:
            with self._lock:
                self._readers.remove(span)

    def weight_view(self, offset_bytes: int, weight: WeightSpec) -> torch.Tensor:
        """Return a tensor over the region's bytes, without copying them."""
        return view_bytes(self._bytes[offset_bytes : offset_bytes + weight.size_bytes], weight)

    def holds(self, tensor: torch.Tensor) -> bool:
        """Tell whether a tensor's storage is this region."""
        begin = self._bytes.data_ptr()
        return begin <= tensor.untyped_storage().data_ptr() < begin + self._size_bytes

    def open_landing(
        self, offset_bytes: int, size_bytes: int, released: Mark | None
    ) -> HostLanding:
        """Let a read go into the bytes, watched."""
        return HostLanding(self.host_view(offset_bytes, size_bytes))

    def give_up(self, spans: Sequence[Span], rest_bytes: int) -> CopyMemory:
        """Give pages back; they come back as zeros."""
        for begin, end in spans:
            self._bytes[begin:end] = 0
        return HOST_COPIES

    def free(self) -> None:
        """Give the memory back. Views that are still around read zeros."""
        self._bytes.zero_()

    def __repr__(self) -> str:
        return f"<SimulatedRegion {self._size_bytes} bytes>"


class SimulatedBackend:
    """Networks run on the CPU, in regions that watch their users."""

    kind = "cpu"
    device = torch.device("cpu")
    queue = HOST_QUEUE
    copies = HOST_COPIES
    staging_bytes = 0

    def allocate(self, size_bytes: int) -> SimulatedRegion:
        """Reserve a region."""
        return SimulatedRegion(size_bytes)

    def open_shelf(self, size_bytes: int) -> NoReturn:
        """Refuse, as the CPU does."""
        raise InputError(NO_SHELF)

    def close(self) -> None:
        """There is nothing beside the regions."""


def simulated_profile(
    *,
    cell_bytes: Sequence[int],
    steps: Sequence[int],
    pinned: Sequence[int] = (),
    step_compute_s: Sequence[float] | None = None,
    activation_bytes: int = 0,
    buffer_bytes: int = 0,
) -> NetworkProfile:
    """Make the profile of a network that does not exist: one weight, layer and cell each.

    Args:
        cell_bytes: size of every cell; multiples of `PAGE_BYTES`.
        steps: the cell that is used by every step of an inference.
        pinned: cells that must stay resident; they have no steps.
        step_compute_s: by default 1 ms each.
        activation_bytes: peak of activations.
        buffer_bytes: of buffers.
    """
    weights = tuple(
        WeightSpec(
            name=f"cell{index}.weight",
            aliases=(),
            dtype="U8",
            shape=(size,),
            stride=(1,),
            size_bytes=size,
            requires_grad=False,
        )
        for index, size in enumerate(cell_bytes)
    )
    trace = NetworkTrace(
        weights=weights,
        layers=tuple(
            LayerSpec(name=f"cell{index}", weights=(index,), is_pinned=index in pinned)
            for index in range(len(weights))
        ),
        accesses=tuple(steps),
        access_steps=tuple(range(len(steps))),
        steps=tuple(steps),
        step_compute_s=tuple(step_compute_s or [_STEP_COMPUTE_S] * len(steps)),
        step_tile_s=(0.0,) * len(steps),
        head_compute_s=0.0,
        head_activation_bytes=activation_bytes,
        step_activation_bytes=(activation_bytes,) * len(steps),
        step_tile_activation_bytes=(activation_bytes,) * len(steps),
        step_live_bytes=(0,) * len(steps),
        step_growth_bytes=(activation_bytes,) * len(steps),
        step_tile_growth_bytes=(activation_bytes,) * len(steps),
        kept_bytes=0,
        buffer_bytes=buffer_bytes,
    )
    offsets = [PAGE_BYTES + sum(cell_bytes[:index]) for index in range(len(cell_bytes))]
    cells = tuple(
        CellSpec(layers=(index, index + 1), offset_bytes=offset, size_bytes=size, digest="")
        for index, (offset, size) in enumerate(zip(offsets, cell_bytes, strict=True))
    )
    return NetworkProfile(
        digest="simulated", trace=trace, cells=cells, weight_offsets_bytes=tuple(offsets)
    )


def stored_pattern(profile: NetworkProfile) -> bytes:
    """Return a block file's content in which every 8 bytes tell where they lie."""
    last = profile.cells[-1]
    count = (last.offset_bytes + last.size_bytes) // 8
    return np.arange(count, dtype="<u8").tobytes()


def open_leases() -> list[str]:
    """Describe every ledger in the process that holds leases.

    After all runtimes are closed there is none: a lease that is left is a leak.
    """
    ledgers = [item for item in gc.get_referrers(MemoryLedger) if type(item) is MemoryLedger]
    return [repr(ledger) for ledger in ledgers if ledger.snapshot().leases]


def run_steps(
    lane: Lane,
    steps: Sequence[int],
    compute: Callable[[int], None],
    stop_after: int | None = None,
) -> None:
    """Do one inference step by step, as `PlannedAccess` does it.

    Args:
        lane: of the network.
        steps: of its trace.
        compute: called with the number of every step, whose block is there.
        stop_after: breaks the inference off after so many steps.
    """
    lane.begin()
    current = NO_STEP
    for number in range(len(steps)):
        if number == stop_after:
            lane.abort()
            return
        use = lane.plan.step_uses[number]
        if use not in (NO_STEP, current):
            lane.enter(use)
            current = use
        compute(number)
    lane.finish()


def impose_plan(runtime: SwapRuntime, name: str, plan: SwapPlan) -> None:
    """Make a loaded network run by a plan of one's own; the others keep theirs.

    It holds until the next load, unload or change of the budget, and takes effect at the next
    boundary of two blocks, as `SwapRuntime.set_budget` does.

    Args:
        runtime: whose budget the plan has to fit into.
        name: of the network.
        plan: with a slot for every block that the network uses.

    Raises:
        KeyError: there is no network of that name.
        BudgetTooSmallError: the plan's memory cannot be leased; the network cannot run until
            another plan is adopted.
        StorageError: its residents cannot be read.
    """
    fleet = runtime._fleet
    models = fleet.models
    standing = {m.holding: m.plan for m in models.values() if m.plan is not None}
    plans = {**standing, models[name].holding: plan}
    budget_bytes = runtime.report().budget_bytes
    runtime._scheduler.interrupt(lambda: fleet.move(plans, budget_bytes, _ignore))


def _ignore() -> None:
    return None


def _any_overlaps(begin: int, end: int, spans: Sequence[tuple[int, int]]) -> bool:
    return any(begin < other_end and other_begin < end for other_begin, other_end in spans)


def _is_released(view: memoryview) -> bool:
    try:
        len(view)
    except ValueError:
        return True
    return False
