"""What the core asks of a device: memory in which slots lie, and the order of what it does.

[Note: the host runs ahead]
A GPU works behind the host's back: a kernel or a copy that was *issued* is done some time later, in
the order of the queue into which it was put. The core decides on the host, in the order in which
things are issued, and tells the device what must wait for what. There are four rules:

1. Before slots are given up, `ComputeQueue.release` marks the present end of the compute queue:
   everything that reads those slots lies in front of the mark. The host gives a slot up only after
   that, and a fetch remembers the newest mark of the moment in which the host let it start.
2. Nothing is written into a slot before the device has passed the mark that its fetch remembers:
   a copy waits for it in its queue, a read that lands in the slot itself waits on the host.
3. A fetched piece has an arrival, a mark behind its copy. `ComputeQueue.admit` lets what is issued
   to the compute queue from now on wait for the arrivals of a block, before the block is used.
4. Memory that slots lay in is given away only behind `ComputeQueue.join`, after which the compute
   queue waits for all copies so far. The allocator reuses memory in the order of that queue.

So no copy overwrites bytes that compute still reads (1, 2), compute reads no byte before its copy
(3), and no copy writes into memory that was given away (4); in which order the host may issue all
that is [Note: slot reuse]'s business, with or without a device behind it.

Nothing can wait for ever. A mark lies behind work that was issued before it, and whatever waits
for it, on the device or the host, was issued or began to wait later: the order of issue is a total
order, so no cycle can form. The host waits for marks and for storage only; while a reading thread
waits for a mark it holds no lock, and the device needs no host to reach it.

On the CPU what was issued is done: there are no marks, and nothing to wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch

from swapnet_core.sizes import MIB
from swapnet_core.specs import WeightSpec

if TYPE_CHECKING:
    from swapnet_core.backends.shelf import Shelf

REQUEST_BYTES = 4 * MIB
"""The most that one read brings."""

Span = tuple[int, int]
"""Begin and end of some bytes of a region."""

Fill = Callable[[memoryview], int]
"""Reads a weight into page-aligned memory; returns where in it the weight starts."""


class Wait(NamedTuple):
    """What the device did at one `ComputeQueue.admit`.

    Attributes:
        waited_s: how long it had nothing to compute.
        time_s: when that was over, by `time.perf_counter`.
    """

    waited_s: float
    time_s: float


class Mark(Protocol):
    """A point in a device's work: passed when everything issued before it is done. Any thread."""

    def wait(self) -> None:
        """Block the calling thread until the device has passed it."""
        ...


class Landing(Protocol):
    """Where one read goes. For the thread that opened it, which delivers or cancels it once."""

    @property
    def target(self) -> memoryview:
        """The bytes to fill: page-aligned, of the size that was asked for."""
        ...

    @property
    def is_filled(self) -> bool:
        """Whether they are there already, from an earlier read."""
        ...

    def deliver(self) -> Mark | None:
        """Bring the filled bytes into the slot.

        Returns:
            Their arrival; None where they are there already.
        """
        ...

    def cancel(self) -> None:
        """Give up: they were not filled."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PrivateBytes:
    """Memory of one weight that lies in no slot.

    Attributes:
        data: uint8 [size_bytes], on the device.
        owner: dies when the last tensor over the memory has died.
        held_bytes: what the memory costs while it lives.
    """

    data: torch.Tensor
    owner: object
    held_bytes: int


class CopyMemory(Protocol):
    """Where private copies of weights lie. Any thread."""

    def make(self, size_bytes: int, fill: Fill) -> PrivateBytes:
        """Read a weight into memory of its own.

        Args:
            size_bytes: of the weight.
            fill: gets memory that has room for a page more.

        Raises:
            MemoryError: there is no room.
        """
        ...

    def check_over(self) -> None:
        """Say that an inference is over whose copies lay here.

        Raises:
            NetworkError: the network still refers to one, whose bytes will be overwritten.
        """
        ...


class Region(Protocol):
    """One stretch of memory with a fixed address, in which slots lie."""

    @property
    def size_bytes(self) -> int:
        """Length of the region."""
        ...

    def open_landing(self, offset_bytes: int, size_bytes: int, released: Mark | None) -> Landing:
        """Prepare a read into the region; may wait for the device, so hold no lock.

        Args:
            offset_bytes: where its bytes go; a multiple of the page size.
            size_bytes: a multiple of the page size, at most `REQUEST_BYTES`.
            released: what the device must have passed before they are written.
        """
        ...

    def weight_view(self, offset_bytes: int, weight: WeightSpec) -> torch.Tensor:
        """Return a tensor over the region's bytes, without copying them."""
        ...

    def holds(self, tensor: torch.Tensor) -> bool:
        """Tell whether a tensor's storage is this region."""
        ...

    def give_up(self, spans: Sequence[Span], rest_bytes: int) -> CopyMemory:
        """Let private copies have what slots have no use for, until the next fetch.

        Args:
            spans: of the region, free to be overwritten by what is issued from now on.
            rest_bytes: that the copies may take beside them.
        """
        ...

    def free(self) -> None:
        """Give the memory back. Views that are still around must not be used any more."""
        ...


class Graph(Protocol):
    """What was captured between two blocks. For the thread that runs networks."""

    def replay(self) -> None:
        """Issue it to the compute queue, with the addresses that it was captured with."""
        ...


class GraphPool(Protocol):
    """The graphs of one inference, and the memory in which what they compute lies.

    For the thread that runs networks. The graphs share that memory, so they are replayed in the
    order in which they were captured, and in one queue. See [Note: captures] in `cuda_graphs.py`.
    """

    @property
    def size_bytes(self) -> int:
        """What the device holds for it."""
        ...

    def capturing(self) -> AbstractContextManager[None]:
        """Let what the calling thread issues inside be captured: it is not done.

        Everything is issued between a `begin` and an `end`. What is begun when the context is left
        is given up.
        """
        ...

    def begin(self) -> None:
        """Begin a graph, inside of `capturing`."""
        ...

    def end(self) -> Graph:
        """End it.

        Raises:
            RuntimeError: something was issued since `begin` that cannot be captured.
        """
        ...

    def close(self) -> None:
        """Give graphs and memory back; no tensor that was made inside is referred to. Idempotent.

        The device may still be at work on them: it is waited for.
        """
        ...


class ComputeQueue(Protocol):
    """Where networks compute, and what waits for what there; see [Note: the host runs ahead].

    `release`, `admit` and `join` are for the thread that runs networks, or for one while no network
    runs; `released` for any.
    """

    @property
    def released(self) -> Mark | None:
        """The newest mark behind which slots were given up."""
        ...

    def release(self) -> None:
        """Mark the present end: the slots that are given up next are used in front of it."""
        ...

    def admit(self, arrivals: Sequence[Mark]) -> None:
        """Let what is issued from now on wait for some arrivals."""
        ...

    def join(self) -> None:
        """Let what is issued from now on wait for all copies so far."""
        ...

    def caller(self) -> object | None:
        """Note where the calling thread's own work on the device stands; None: in this queue."""
        ...

    def running(self) -> AbstractContextManager[None]:
        """Make the device the calling thread's present one."""
        ...

    def bring(self, inputs: Any, caller: object | None) -> Any:
        """Return a network's inputs with their tensors on the device.

        Args:
            inputs: any structure of torch's pytrees.
            caller: of the thread that made the inputs.
        """
        ...

    def issue(self, run: Callable[[], None]) -> None:
        """Issue what `run` does to tensors on the device."""
        ...

    def open_graphs(self) -> GraphPool | None:
        """Make an empty pool of graphs; None where the device has no graphs."""
        ...

    def begin(self) -> None:
        """Start to take the times of an inference."""
        ...

    def finish(self, output: Any, caller: object | None) -> None:
        """Wait until everything issued so far is done, and the output is there for the caller."""
        ...

    def waits(self) -> Sequence[Wait] | None:
        """Tell what each `admit` since `begin` waited, and when; after `finish`.

        None where the host's own clock tells.
        """
        ...


class Backend(Protocol):
    """A device on which networks run."""

    @property
    def kind(self) -> str:
        """How it is called: `cpu`, `cuda`, `unified`."""
        ...

    @property
    def device(self) -> torch.device:
        """The torch device of weights and activations."""
        ...

    @property
    def queue(self) -> ComputeQueue:
        """Where networks compute."""
        ...

    @property
    def copies(self) -> CopyMemory:
        """Memory for single weights that lie in no slot, outside of the budget."""
        ...

    @property
    def staging_bytes(self) -> int:
        """Pinned host memory between storage and device, outside of the budget."""
        ...

    def open_shelf(self, size_bytes: int) -> Shelf:
        """Pin host memory in which requests stay.

        Raises:
            InputError: the device has no memory of its own.
            MemoryError: the system refuses it.
        """
        ...

    def allocate(self, size_bytes: int) -> Region:
        """Reserve a region; a multiple of the page size, at least one page.

        Raises:
            MemoryError, OSError: the system refuses it.
        """
        ...

    def close(self) -> None:
        """Give back what is not a region; nothing is in use any more. Idempotent."""
        ...
