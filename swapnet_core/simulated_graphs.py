"""CUDA graphs of a GPU that is none.

[Note: captured on the host]
Torch's operators run on the CPU when they are called, but what is captured must not be done. So
while a graph is captured, every operator that is called is noted with its tensors. It computes
somewhere else than in what is there already, to tell what its outputs look like, and writes into
none but tensors that were made in the same capture. In the end their bytes are garbage. A replay
issues the operators once more, for the device to do whenever it likes: their outputs go where those
of the capture lie.

As on a GPU (see [Note: captures] in `backends/cuda_graphs.py`), whoever wants to know a value while
capturing breaks the capture, and so does the capturing thread if it waits, or takes or gives back
memory; other threads may, unless the mode is the global one. Stricter than a GPU is this: the
capturing thread may issue nothing to the device's own queues (it would not be captured, and who
does it there means something else), and graphs must be replayed in order.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from swapnet_core.backends.cuda_graphs import CAPTURE_MODE
from swapnet_core.capturable import reads_values, tensors_in, written_by
from swapnet_core.errors import InvariantError
from swapnet_core.operator_mode import OperatorMode
from swapnet_core.tiled_weight import TiledWeight

_GARBAGE = 0xA5
_REFUSED = "operation not permitted when stream is capturing"


class Captured(Protocol):
    """A device that has graphs; see `SimulatedCuda`."""

    def compute(self, run: Any) -> None:
        """Issue a kernel."""
        ...

    def captured_by(self, pool: SimulatedGraphPool) -> contextlib.AbstractContextManager[None]:
        """Let a pool capture what the calling thread issues."""
        ...

    def hold_pool(self, pool: SimulatedGraphPool) -> None:
        """Take the device memory of a pool."""
        ...

    def let_go_of_pool(self, pool: SimulatedGraphPool) -> None:
        """Give it back, when the device is done with it."""
        ...

    @property
    def pool_bytes(self) -> int:
        """What a pool takes."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Noted:
    """An operator that was captured; `outputs` are its own, or none where it writes in place."""

    func: Any
    args: Any
    kwargs: Mapping[str, Any]
    outputs: Sequence[torch.Tensor]

    def run(self) -> None:
        made = tensors_in(self.func(*self.args, **self.kwargs))
        for output, new in zip(self.outputs, made if self.outputs else (), strict=True):
            output.copy_(new)


class SimulatedGraph:
    """See `Graph`."""

    def __init__(self, pool: SimulatedGraphPool, number: int, noted: Sequence[_Noted]) -> None:
        self._pool = pool
        self._number = number
        self._noted = noted

    def replay(self) -> None:
        """See `Graph`.

        Raises:
            InvariantError: the pool is closed, or another graph is next.
        """
        self._pool.issue(self._number, self._run)

    def _run(self) -> None:
        with torch.inference_mode():
            for noted in self._noted:
                noted.run()


class SimulatedGraphPool:
    """See `GraphPool`, and [Note: captured on the host]."""

    def __init__(self, device: Captured) -> None:
        self._device = device
        self._graphs = 0
        self._next = 0
        self._made: list[torch.Tensor] = []
        self._noted: list[_Noted] | None = None
        self._thread: int | None = None
        self._broken = ""
        self._is_open = True

    @property
    def size_bytes(self) -> int:
        """As the device has it."""
        return self._device.pool_bytes

    @property
    def is_by_caller(self) -> bool:
        """Whether the calling thread is the capturing one."""
        return self._thread == threading.get_ident()

    @contextlib.contextmanager
    def capturing(self) -> Iterator[None]:
        """See `GraphPool`."""
        with self._device.captured_by(self):
            self._thread, self._broken = threading.get_ident(), ""
            try:
                with _Notes(self):
                    yield
            finally:
                self._thread, self._noted = None, None
        for tensor in self._made:
            _spoil(tensor)

    def begin(self) -> None:
        """See `GraphPool`."""
        if self._graphs == 0:
            self._device.hold_pool(self)
        self._noted = []

    def end(self) -> SimulatedGraph:
        """See `GraphPool`."""
        noted, self._noted = self._noted, None
        if self._broken or noted is None:
            raise RuntimeError(f"the capture was broken by {self._broken or 'nothing'}")
        self._graphs += 1
        return SimulatedGraph(self, self._graphs - 1, noted)

    def refuse(self, call: str) -> None:
        """Break the capture, if a call may not be made in this thread.

        Raises:
            RuntimeError: it may not.
        """
        if self.is_by_caller or CAPTURE_MODE == "global":
            self._broken = self._broken or call
            raise RuntimeError(f"{call}: {_REFUSED}")

    def note(self, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        """Capture an operator; returns what it returns."""
        if self._noted is None:
            raise InvariantError(f"{func} is called between two graphs")
        if reads_values(func):
            self.refuse(str(func))
        given = tensors_in((args, kwargs))
        written = written_by(func, args, kwargs)
        if len(written) > 1:
            raise InvariantError(f"{func} is not simulated while capturing")
        if written:
            self._noted.append(_Noted(func, args, kwargs, ()))
            return func(*args, **kwargs) if self._is_made_here(*written) else written[0]
        result = func(*args, **kwargs)
        outputs = tensors_in(result)
        before = {_address(tensor) for tensor in given}
        if all(_address(output) in before for output in outputs):
            return result  # views: they lie where they lay
        # By tensors of its own: those that the network has may be written in place.
        kept = [output.detach() for output in outputs]
        self._made += kept
        self._noted.append(_Noted(func, args, kwargs, kept))
        return result

    def issue(self, number: int, run: Any) -> None:
        """Replay a graph; see `SimulatedGraph.replay`."""
        if not self._is_open:
            raise InvariantError("a graph is replayed whose memory was given back")
        if number not in (self._next, 0):
            raise InvariantError("graphs that share memory are replayed in another order")
        self._next = number + 1
        self._device.compute(run)

    def close(self) -> None:
        """See `GraphPool`. Whoever still reads the memory gets garbage."""
        if self._is_open:
            self._is_open = False
            self._device.let_go_of_pool(self)
            for tensor in self._made:
                _spoil(tensor)

    def _is_made_here(self, tensor: torch.Tensor) -> bool:
        return _address(tensor) in {_address(made) for made in self._made}

    def __repr__(self) -> str:
        return f"<SimulatedGraphPool {self._graphs} graphs>"


class _Notes(OperatorMode):
    def __init__(self, pool: SimulatedGraphPool) -> None:
        super().__init__(passed=TiledWeight)
        self._pool = pool

    def run(self, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        return self._pool.note(func, args, kwargs)


def _address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _spoil(tensor: torch.Tensor) -> None:
    with torch.inference_mode():
        array = torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())
        array.fill_(_GARBAGE)
