"""The few CUDA calls that the backends are made of, so that a simulated device can stand in.

Two queues (CUDA streams) are used per device. Networks compute in the device's default stream,
where torch puts everything that is not told otherwise: what the caller does there before and after
an inference is in order with it. Copies have a stream of their own, which does not wait for the
default one by itself (torch's streams are made with cudaStreamNonBlocking).
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import torch

from swapnet_core.backends.base import GraphPool, Mark
from swapnet_core.backends.cuda_graphs import TorchGraphPool
from swapnet_core.errors import InputError, OutOfMemoryError
from swapnet_core.sizes import format_size

_PORTABLE_AND_MAPPED = 1 | 2  # cudaHostRegisterPortable, cudaHostRegisterMapped
_HOST_REGISTER_SUPPORTED = 99  # cudaDevAttrHostRegisterSupported


class Queue(Enum):
    """Work in one of them is done in the order in which it was issued."""

    COMPUTE = "compute"
    COPY = "copy"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Aliased:
    """A tensor over memory that is not its own.

    Attributes:
        tensor: uint8, with a storage of its own that ends where the memory does.
        owner: dies when the last tensor over that storage has died.
    """

    tensor: torch.Tensor
    owner: object


class CudaCalls(Protocol):
    """One device. Any thread, but those that issue to `Queue.COMPUTE` take turns."""

    @property
    def device(self) -> torch.device:
        """As torch calls it."""
        ...

    def record(self, queue: Queue) -> Mark:
        """Mark the present end of a queue (cudaEventRecord); waiting for it lets the core go."""
        ...

    def let_wait(self, queue: Queue, mark: Mark) -> None:
        """Let what is issued to a queue from now on wait for a mark (cudaStreamWaitEvent)."""
        ...

    def copy(self, queue: Queue, target: torch.Tensor, source: torch.Tensor) -> None:
        """Issue a copy from pinned host memory (cudaMemcpyAsync), uint8, equal sizes."""
        ...

    def wait_for(self, queue: Queue) -> None:
        """Wait on the host until a queue is empty (cudaStreamSynchronize)."""
        ...

    def seconds_between(self, first: Mark, second: Mark) -> float:
        """Tell the time between two marks that have been passed (cudaEventElapsedTime)."""
        ...

    def compute(self, run: Callable[[], None]) -> None:
        """Issue what `run` does to tensors on the device to `Queue.COMPUTE`."""
        ...

    def open_graphs(self) -> GraphPool:
        """Make an empty pool of graphs."""
        ...

    def allocate(self, size_bytes: int) -> torch.Tensor:
        """Take device memory, uint8 [size_bytes], to be given back by `release`.

        Raises:
            OutOfMemoryError: the device refuses it.
        """
        ...

    def release(self, memory: torch.Tensor) -> None:
        """Give memory of `allocate` back to the device, whoever has tensors over it."""
        ...

    def alias(self, memory: torch.Tensor) -> Aliased:
        """Make a tensor over device memory; `memory` lives as long as it does."""
        ...

    def pin(self, memory: torch.Tensor) -> None:
        """Lock the pages of host memory, and map them for the device (cudaHostRegister).

        Raises:
            OutOfMemoryError: the system refuses it.
        """
        ...

    def unpin(self, memory: torch.Tensor) -> None:
        """Undo `pin` (cudaHostUnregister); the device does not use the memory any more."""
        ...

    def alias_pinned(self, memory: torch.Tensor) -> Aliased:
        """Make a tensor on the device over pinned host memory (cudaHostGetDevicePointer).

        Raises:
            InputError: the device cannot address it.
        """
        ...

    def allocated_bytes(self) -> int:
        """Tell what the process has of torch's allocator."""
        ...

    def reset_peak(self) -> None:
        """Measure the peak of `allocated_bytes` anew."""
        ...

    def peak_bytes(self) -> int:
        """Tell the most that `allocated_bytes` was since `reset_peak`."""
        ...

    def drop_workspaces(self) -> None:
        """Give back what cuBLAS keeps; it takes it anew when it is called next."""
        ...

    def running(self) -> AbstractContextManager[None]:
        """Make the device the calling thread's present one (cudaSetDevice)."""
        ...

    def caller(self) -> object | None:
        """Note the calling thread's present stream and its end; None: it is `Queue.COMPUTE`."""
        ...

    def let_wait_for_caller(self, caller: object) -> None:
        """Let what is issued to `Queue.COMPUTE` from now on wait for a caller's work so far."""
        ...

    def hand_to_caller(self, caller: object, tensor: torch.Tensor) -> None:
        """Reuse a tensor's memory only after what a caller's stream does with it."""
        ...


class _Event:
    """A mark: an event that lets the waiting thread's core go (cudaEventBlockingSync)."""

    __slots__ = ("event",)

    def __init__(self) -> None:
        self.event = torch.cuda.Event(  # type: ignore[no-untyped-call]  # torch's own gap
            enable_timing=True, blocking=True
        )

    def wait(self) -> None:
        """Block the calling thread."""
        self.event.synchronize()


class _Foreign:
    """Memory as others may use it: NumPy's interface, for a device (CUDA Array Interface 3)."""

    def __init__(self, address: int, size_bytes: int, memory: torch.Tensor) -> None:
        self._memory = memory  # lives as long as the tensor that is made of this
        self.__cuda_array_interface__ = {
            "shape": (size_bytes,),
            "typestr": "|u1",
            "data": (address, False),
            "strides": None,
            "version": 3,
        }


@dataclass(frozen=True, slots=True, eq=False)
class _Caller:
    stream: torch.cuda.Stream
    event: torch.cuda.Event


class TorchCuda:
    """The calls, made through torch where it has them. See `CudaCalls`."""

    def __init__(self, device: torch.device) -> None:
        """Open a device.

        Args:
            device: with its index.
        """
        self.device = device
        self._streams = {
            Queue.COMPUTE: torch.cuda.default_stream(device),
            Queue.COPY: torch.cuda.Stream(device),  # type: ignore[no-untyped-call]  # torch's own gap
        }

    def record(self, queue: Queue) -> _Event:
        """See `CudaCalls`."""
        mark = _Event()
        mark.event.record(self._streams[queue])
        return mark

    def let_wait(self, queue: Queue, mark: Mark) -> None:
        """See `CudaCalls`."""
        self._streams[queue].wait_event(_event_of(mark))

    def copy(self, queue: Queue, target: torch.Tensor, source: torch.Tensor) -> None:
        """See `CudaCalls`. torch passes both addresses to cudaMemcpyAsync as they are."""
        with torch.cuda.stream(self._streams[queue]):
            target.copy_(source, non_blocking=True)

    def wait_for(self, queue: Queue) -> None:
        """See `CudaCalls`."""
        self._streams[queue].synchronize()

    def seconds_between(self, first: Mark, second: Mark) -> float:
        """See `CudaCalls`."""
        between_ms: float = _event_of(first).elapsed_time(_event_of(second))
        return between_ms / 1e3

    def compute(self, run: Callable[[], None]) -> None:
        """See `CudaCalls`. torch puts it there by itself, as it does with networks."""
        run()

    def open_graphs(self) -> TorchGraphPool:
        """See `CudaCalls`."""
        return TorchGraphPool(self.device)

    def allocate(self, size_bytes: int) -> torch.Tensor:
        """See `CudaCalls`. From torch's allocator, in the order of `Queue.COMPUTE`."""
        try:
            with torch.cuda.stream(self._streams[Queue.COMPUTE]), torch.inference_mode(False):
                return torch.empty(size_bytes, dtype=torch.uint8, device=self.device)
        except torch.OutOfMemoryError as error:
            raise OutOfMemoryError(
                f"{self.device} has no {format_size(size_bytes)} free", needed_bytes=size_bytes
            ) from error

    def release(self, memory: torch.Tensor) -> None:
        """See `CudaCalls`.

        Slots are bound for the life of a plan, so tensors over them are still around when the next
        plan's slots are allocated: the storage is emptied below them, as FSDP2 does it. cudaFree
        waits for the device by itself; slots are freed only where plans change.
        """
        memory.untyped_storage().resize_(0)
        with torch.cuda.device(self.device):
            torch.cuda.empty_cache()

    def alias(self, memory: torch.Tensor) -> Aliased:
        """See `CudaCalls`."""
        return self._alias(memory.data_ptr(), memory)

    def pin(self, memory: torch.Tensor) -> None:
        """See `CudaCalls`."""
        with torch.cuda.device(self.device):
            code = _torch_cudart().cudaHostRegister(
                memory.data_ptr(), memory.numel(), _PORTABLE_AND_MAPPED
            )
        if int(code) != 0:
            _cudart().cudaGetLastError()  # or torch would find it after its next kernel
            raise OutOfMemoryError(
                f"cudaHostRegister refuses to pin {format_size(memory.numel())} of host memory, "
                f"with error {int(code)}",
                needed_bytes=memory.numel(),
            )

    def unpin(self, memory: torch.Tensor) -> None:
        """See `CudaCalls`."""
        torch.cuda.check_error(_torch_cudart().cudaHostUnregister(memory.data_ptr()))

    def alias_pinned(self, memory: torch.Tensor) -> Aliased:
        """See `CudaCalls`."""
        address = ctypes.c_void_p()
        code = _cudart().cudaHostGetDevicePointer(
            ctypes.byref(address), ctypes.c_void_p(memory.data_ptr()), ctypes.c_uint(0)
        )
        if code != 0 or address.value is None:
            _cudart().cudaGetLastError()
            raise InputError(
                f"{self.device} cannot address pinned host memory (cudaHostGetDevicePointer gives "
                f"error {code}); use device='cuda'"
            )
        return self._alias(address.value, memory)

    def allocated_bytes(self) -> int:
        """See `CudaCalls`."""
        return torch.cuda.memory_allocated(self.device)

    def reset_peak(self) -> None:
        """See `CudaCalls`."""
        torch.cuda.reset_peak_memory_stats(self.device)

    def peak_bytes(self) -> int:
        """See `CudaCalls`."""
        return torch.cuda.max_memory_allocated(self.device)

    def drop_workspaces(self) -> None:
        """See `CudaCalls`. By the call that torch's notes on CUDA name for it."""
        torch._C._cuda_clearCublasWorkspaces()

    def running(self) -> AbstractContextManager[None]:
        """See `CudaCalls`."""
        return torch.cuda.device(self.device)

    def caller(self) -> _Caller | None:
        """See `CudaCalls`."""
        stream = torch.cuda.current_stream(self.device)
        if stream == self._streams[Queue.COMPUTE]:
            return None
        return _Caller(stream, stream.record_event())

    def let_wait_for_caller(self, caller: object) -> None:
        """See `CudaCalls`."""
        if isinstance(caller, _Caller):
            self._streams[Queue.COMPUTE].wait_event(caller.event)

    def hand_to_caller(self, caller: object, tensor: torch.Tensor) -> None:
        """See `CudaCalls`."""
        if isinstance(caller, _Caller) and tensor.is_cuda:
            tensor.record_stream(caller.stream)

    def _alias(self, address: int, memory: torch.Tensor) -> Aliased:
        owner = _Foreign(address, memory.numel(), memory)
        with torch.cuda.device(self.device), torch.inference_mode(False):
            tensor = torch.as_tensor(owner, device=self.device)
        if tensor.data_ptr() != address:
            raise InputError(f"torch copies memory that {self.device} should use in place")
        return Aliased(tensor=tensor, owner=owner)

    def __repr__(self) -> str:
        return f"<TorchCuda {self.device}>"


def can_register_host_memory(device: torch.device) -> bool:
    """Tell whether a device may use host memory that was allocated without CUDA.

    Source:
        CUDA Runtime API, cudaHostRegister: supported only on I/O coherent devices, which have a
        non-zero cudaDevAttrHostRegisterSupported.
    """
    value = ctypes.c_int()
    code = _cudart().cudaDeviceGetAttribute(
        ctypes.byref(value), _HOST_REGISTER_SUPPORTED, ctypes.c_int(device.index or 0)
    )
    return bool(code == 0 and value.value)


def _torch_cudart() -> Any:
    """Return the calls that torch hands out."""
    return torch.cuda.cudart()  # type: ignore[no-untyped-call]  # torch's own gap


def _event_of(mark: Mark) -> torch.cuda.Event:
    if not isinstance(mark, _Event):
        raise TypeError(f"{mark!r} is a mark of another device")
    return mark.event


@functools.cache
def _cudart() -> Any:
    """Return the runtime library that torch has loaded, for what torch does not hand out."""
    torch.cuda.init()  # type: ignore[no-untyped-call]  # torch's own gap
    name = f"libcudart.so.{(torch.version.cuda or '').split('.')[0]}"
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        raise InputError(f"torch's CUDA runtime {name} cannot be found: {error}") from error
