"""A GPU that is none: CUDA's calls on the host, done as late, or in as odd an order, as is allowed.

[Note: the worst device]
What is issued waits in its queue until somebody waits for it. Then a die says which queue goes on,
as far as its marks let it. So a copy happens long after its staging could have been filled again,
or long before compute has got there: whichever is wrong shows in the bytes. Whoever waits for a
mark that the device can never pass gets an `InvariantError`, not a hang.

Networks cannot compute late, since torch runs them on the CPU when they are called: unless the
device is made to compute late, the compute queue is worked off at once, and only copies are late.
What was captured can: see [Note: captured on the host] in `simulated_graphs.py`.
"""

from __future__ import annotations

import contextlib
import mmap
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch

from swapnet_core.backends.base import Mark
from swapnet_core.backends.cuda import CudaBackend
from swapnet_core.backends.cuda_calls import Aliased, Queue
from swapnet_core.backends.unified import UnifiedBackend
from swapnet_core.errors import InvariantError, OutOfMemoryError
from swapnet_core.gauges import DISCRETE, SHARED, DeviceGauge
from swapnet_core.hardware import Hardware, on_cpu
from swapnet_core.simulated_graphs import SimulatedGraphPool
from swapnet_core.sizes import MIB

_GARBAGE = 0xA5
_OPERATION_S = 1e-6


@dataclass(slots=True, eq=False)
class SimulatedMark:
    """A mark in a queue of a simulated device."""

    device: SimulatedCuda
    passed_at: int | None = None

    def wait(self) -> None:
        """Let the device work until it is passed."""
        self.device.work_until(self)


@dataclass(slots=True, eq=False)
class _Operation:
    """What a queue does next: it waits for `after`, runs, and passes `mark`.

    Attributes:
        target: address that a copy writes to.
    """

    run: Callable[[], None] | None = None
    target: int | None = None
    after: SimulatedMark | None = None
    mark: SimulatedMark | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a simulated device holds.

    Attributes:
        device_bytes: of `allocate`, at present.
        peak_device_bytes: the most of it there was.
        pinned_bytes: host memory that is pinned at present.
    """

    device_bytes: int
    peak_device_bytes: int
    pinned_bytes: int


@dataclass(slots=True)
class _Memory:
    device: dict[int, int] = field(default_factory=dict)
    peak_bytes: int = 0
    pinned: dict[int, int] = field(default_factory=dict)


class SimulatedCuda:
    """See `CudaCalls`, and [Note: the worst device].

    Attributes:
        computes_late: whether compute waits in its queue, as on a GPU; not for networks that run
            themselves.
        pool_bytes: what a pool of graphs takes.
        log: what was issued.
    """

    device = torch.device("cpu")

    def __init__(
        self, seed: int = 0, *, capacity_bytes: int | None = None, computes_late: bool = False
    ) -> None:
        """Open a device.

        Args:
            seed: of the die.
            capacity_bytes: of device memory; None: without end.
            computes_late: whether compute waits in its queue, as on a GPU.
        """
        self._die = random.Random(seed)
        self._lock = threading.RLock()
        self._queues: dict[Queue, deque[_Operation]] = {queue: deque() for queue in Queue}
        self._done = 0
        self._capacity_bytes = capacity_bytes
        self.computes_late = computes_late
        self.pool_bytes = 2 * MIB
        self._capturing: SimulatedGraphPool | None = None
        self._memory = _Memory()
        self.log: list[str] = []

    @property
    def held(self) -> Held:
        """What is held now."""
        with self._lock:
            return Held(
                device_bytes=sum(self._memory.device.values()),
                peak_device_bytes=self._memory.peak_bytes,
                pinned_bytes=sum(self._memory.pinned.values()),
            )

    def compute(self, run: Callable[[], None]) -> None:
        """See `CudaCalls`: a kernel, which can be late."""
        self._issue(Queue.COMPUTE, _Operation(run=run), "compute")

    def open_graphs(self) -> SimulatedGraphPool:
        """See `CudaCalls`."""
        return SimulatedGraphPool(self)

    @contextlib.contextmanager
    def captured_by(self, pool: SimulatedGraphPool) -> Iterator[None]:
        """Let a pool capture what the calling thread issues."""
        with self._lock:
            if self._capturing is not None:
                raise RuntimeError("two captures at once")
            self._capturing = pool
        try:
            yield
        finally:
            self._capturing = None

    def hold_pool(self, pool: SimulatedGraphPool) -> None:
        """Take the device memory of a pool."""
        with self._lock:
            self._memory.device[id(pool)] = self.pool_bytes
            self._memory.peak_bytes = max(self._memory.peak_bytes, self.held.device_bytes)

    def let_go_of_pool(self, pool: SimulatedGraphPool) -> None:
        """Give it back, when the device is done with it."""
        with self._lock:
            self._work_off(Queue.COMPUTE)
            self._memory.device.pop(id(pool), None)

    def work_until(self, mark: SimulatedMark) -> None:
        """Let the device work until it has passed a mark.

        Raises:
            InvariantError: it never will.
        """
        self._refuse_under_capture("wait")
        with self._lock:
            while mark.passed_at is None:
                self._work_once()

    def record(self, queue: Queue) -> SimulatedMark:
        """See `CudaCalls`."""
        mark = SimulatedMark(self)
        self._issue(queue, _Operation(mark=mark), "record")
        return mark

    def let_wait(self, queue: Queue, mark: Mark) -> None:
        """See `CudaCalls`."""
        self._issue(queue, _Operation(after=_own(mark)), "let_wait")

    def copy(self, queue: Queue, target: torch.Tensor, source: torch.Tensor) -> None:
        """See `CudaCalls`."""
        if not self._is_pinned(source.data_ptr()):
            raise InvariantError("an asynchronous copy from memory that is not pinned")
        operation = _Operation(run=lambda: _copy(target, source), target=target.data_ptr())
        self._issue(queue, operation, "copy")

    def wait_for(self, queue: Queue) -> None:
        """See `CudaCalls`."""
        self.record(queue).wait()

    def seconds_between(self, first: Mark, second: Mark) -> float:
        """See `CudaCalls`. Every operation takes as long as any other."""
        begin, end = _own(first).passed_at, _own(second).passed_at
        if begin is None or end is None:
            raise InvariantError("the time is asked of a mark that was not passed")
        return (end - begin) * _OPERATION_S

    def allocate(self, size_bytes: int) -> torch.Tensor:
        """See `CudaCalls`. The memory is full of garbage."""
        self._refuse_under_capture("allocate")
        with self._lock:
            held_bytes = self.held.device_bytes + size_bytes
            if self._capacity_bytes is not None and held_bytes > self._capacity_bytes:
                raise OutOfMemoryError("the simulated device is full", needed_bytes=size_bytes)
            with torch.inference_mode(False):
                memory = torch.frombuffer(mmap.mmap(-1, size_bytes), dtype=torch.uint8)
            memory.fill_(_GARBAGE)
            self._memory.device[memory.data_ptr()] = size_bytes
            self._memory.peak_bytes = max(self._memory.peak_bytes, held_bytes)
        return memory

    def release(self, memory: torch.Tensor) -> None:
        """See `CudaCalls`. Whoever still reads the memory gets garbage.

        Raises:
            InvariantError: a copy into it is under way, for which compute does not wait.
        """
        self._refuse_under_capture("release")
        begin, end = memory.data_ptr(), memory.data_ptr() + memory.numel()
        with self._lock:
            self._work_off(Queue.COMPUTE)
            targets = (operation.target for operation in self._queues[Queue.COPY])
            if any(target is not None and begin <= target < end for target in targets):
                raise InvariantError("memory is released under a copy")
            del self._memory.device[begin]
            with torch.inference_mode():
                memory.fill_(_GARBAGE)

    def alias(self, memory: torch.Tensor) -> Aliased:
        """See `CudaCalls`."""
        array = memory.numpy()
        with torch.inference_mode(False):
            return Aliased(tensor=torch.from_numpy(array), owner=array)

    def pin(self, memory: torch.Tensor) -> None:
        """See `CudaCalls`."""
        with self._lock:
            if self._is_pinned(memory.data_ptr()):
                raise InvariantError("memory is pinned twice")
            self._memory.pinned[memory.data_ptr()] = memory.numel()

    def unpin(self, memory: torch.Tensor) -> None:
        """See `CudaCalls`."""
        with self._lock:
            if self._queues[Queue.COPY]:
                raise InvariantError("memory is unpinned under a copy")
            del self._memory.pinned[memory.data_ptr()]

    def alias_pinned(self, memory: torch.Tensor) -> Aliased:
        """See `CudaCalls`."""
        return self.alias(memory)

    def allocated_bytes(self) -> int:
        """See `CudaCalls`."""
        return self.held.device_bytes

    def reset_peak(self) -> None:
        """See `CudaCalls`."""
        with self._lock:
            self._memory.peak_bytes = self.held.device_bytes

    def peak_bytes(self) -> int:
        """See `CudaCalls`."""
        return self.held.peak_device_bytes

    def drop_workspaces(self) -> None:
        """See `CudaCalls`. There are none."""

    def running(self) -> contextlib.AbstractContextManager[None]:
        """See `CudaCalls`."""
        return contextlib.nullcontext()

    def caller(self) -> None:
        """See `CudaCalls`. Callers use the compute queue."""

    def let_wait_for_caller(self, caller: object) -> None:
        """See `CudaCalls`."""

    def hand_to_caller(self, caller: object, tensor: torch.Tensor) -> None:
        """See `CudaCalls`."""

    def _refuse_under_capture(self, call: str) -> None:
        """See [Note: captured on the host]."""
        pool = self._capturing
        if pool is not None:
            pool.refuse(call)

    def _issue(self, queue: Queue, operation: _Operation, name: str) -> None:
        if self._capturing is not None and self._capturing.is_by_caller:
            self._capturing.refuse(f"{name} {queue.value}")
        with self._lock:
            self.log.append(f"{name} {queue.value}")
            self._queues[queue].append(operation)
            if queue is Queue.COMPUTE and not self.computes_late:
                self._work_off(queue)

    def _work_off(self, queue: Queue) -> None:
        while self._queues[queue]:
            self._work_once()

    def _work_once(self) -> None:
        """Do the next operation of a queue whose turn it may be. Needs the lock."""
        ready = [queue for queue in Queue if self._can_go_on(queue)]
        if not ready:
            raise InvariantError("the device waits for ever: no queue can go on")
        operation = self._queues[self._die.choice(ready)].popleft()
        self._done += 1
        if operation.run is not None:
            operation.run()
        if operation.mark is not None:
            operation.mark.passed_at = self._done

    def _can_go_on(self, queue: Queue) -> bool:
        if not self._queues[queue]:
            return False
        after = self._queues[queue][0].after
        return after is None or after.passed_at is not None

    def _is_pinned(self, address: int) -> bool:
        pinned = self._memory.pinned.items()
        return any(begin <= address < begin + size for begin, size in pinned)

    def __repr__(self) -> str:
        waiting = {queue.value: len(self._queues[queue]) for queue in Queue}
        return f"<SimulatedCuda {waiting}>"


def _own(mark: Mark) -> SimulatedMark:
    if not isinstance(mark, SimulatedMark):
        raise InvariantError(f"{mark!r} is a mark of another device")
    return mark


def _copy(target: torch.Tensor, source: torch.Tensor) -> None:
    with torch.inference_mode():  # whoever waits for the device may be in a network's forward
        target.copy_(source)


def simulated_hardware(calls: SimulatedCuda, kind: str) -> Hardware:
    """Return what `choose_hardware` would for a GPU that is simulated.

    Args:
        calls: of the device.
        kind: `cuda` or `unified`.
    """
    backend = CudaBackend(calls) if kind == "cuda" else UnifiedBackend(calls)
    overhead = DISCRETE if kind == "cuda" else SHARED
    host = on_cpu(backend)
    return replace(host, name=f"simulated {kind}", gauge=DeviceGauge(calls, overhead))
