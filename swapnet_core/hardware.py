"""What networks run on: chosen once, by what the user asks for and the machine has."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from swapnet_core.backends.base import Backend
from swapnet_core.backends.cpu import NO_SHELF, CpuBackend
from swapnet_core.backends.cuda import CudaBackend
from swapnet_core.backends.cuda_calls import TorchCuda, can_register_host_memory
from swapnet_core.backends.unified import UnifiedBackend
from swapnet_core.errors import InputError
from swapnet_core.gauges import DISCRETE, HOST_GAUGE, SHARED, DeviceGauge, Gauge
from swapnet_core.sizes import parse_size
from swapnet_core.system_memory import MemoryBound, read_memory_bounds
from swapnet_core.thread_priority import (
    LOWEST,
    allowed_priority,
    leaves_a_processor,
    require_priority,
)

_CPU_WAKE_S = 1e-4
_DEVICE_WAKE_S = 2e-5
_NAMED = re.compile(r"(cuda|unified)(?::(\d+))?")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hardware:
    """A device, and how it is measured.

    Attributes:
        name: tells kinds of devices apart, in what is kept of them: profiles and traces.
        backend: its memory, and the order of what it does.
        gauge: measures it while networks are traced.
        read_bounds: ceilings over the memory that the budget is of.
        held_bytes: of so many leased bytes, those that are not free any more.
        wake_s: see `DeviceProfile.wake_s`; not measured.
        read_priority: real-time priority that reading threads have; 0: none.
    """

    name: str
    backend: Backend
    gauge: Gauge
    read_bounds: Callable[[], Sequence[MemoryBound]]
    held_bytes: Callable[[int], int]
    wake_s: float
    read_priority: int = 0

    def parse_host_budget(self, size: str | int) -> int:
        """Read a ceiling for pinned host memory; 0 is none.

        Raises:
            ValueError: it is not a size.
            InputError: the device has no memory of its own.
        """
        if not size:
            return 0
        if self.backend.kind != "cuda":
            raise InputError(NO_SHELF)
        return parse_size(size)


def on_cpu(backend: Backend | None = None, read_priority: int = 0) -> Hardware:
    """Return the CPU, or another backend in the host's memory."""
    return Hardware(
        name="cpu",
        backend=backend or CpuBackend(),
        gauge=HOST_GAUGE,
        read_bounds=read_memory_bounds,
        held_bytes=lambda leased_bytes: leased_bytes,
        wake_s=_CPU_WAKE_S,
        read_priority=read_priority,
    )


def choose_hardware(device: str, read_priority: int = LOWEST) -> Hardware:
    """Find what the user asks for.

    Args:
        device: `cpu`; `cuda` or `unified`, with `:N` for the device of that number; `auto`: the
            first CUDA device, `unified` where it shares the host's memory, or else the CPU.
        read_priority: real-time priority of reading threads, where that is allowed; 0: none. Only
            for the CPU, and only where compute uses all processors: torch's threads count, as many
            as there are now.

    Raises:
        ValueError: there is no device of that name.
        InputError: this machine has none of that kind, or there is no such priority.
    """
    require_priority(read_priority)
    if device == "auto":
        device = _best_kind()
    if device == "cpu":
        wanted = 0 if leaves_a_processor() else read_priority
        return on_cpu(read_priority=allowed_priority(wanted))
    named = _NAMED.fullmatch(device)
    if named is None:
        raise ValueError(
            f"there is no device {device!r}; use 'auto', 'cpu', 'cuda', 'unified', or 'cuda:1'"
        )
    found = _find(int(named[2] or 0), device)
    return _discrete(found) if named[1] == "cuda" else _shared(found)


def _best_kind() -> str:
    if not torch.cuda.is_available():
        return "cpu"
    return "unified" if _properties(torch.device("cuda", 0)).is_integrated else "cuda"


def _find(index: int, asked: str) -> torch.device:
    if not torch.cuda.is_available():
        build = torch.version.cuda
        reason = "its driver finds no GPU" if build else f"torch {torch.__version__} has no CUDA"
        raise InputError(f"there is no device {asked!r} here: {reason}; use 'cpu'")
    count = torch.cuda.device_count()
    if index >= count:
        raise InputError(f"there is no device {asked!r} here: the machine has {count} CUDA devices")
    return torch.device("cuda", index)


def _discrete(device: torch.device) -> Hardware:
    calls = TorchCuda(device)
    return Hardware(
        name=f"cuda {_describe(device)}",
        backend=CudaBackend(calls),
        gauge=DeviceGauge(calls, DISCRETE),
        read_bounds=lambda: [_read_device_bound(device)],
        held_bytes=lambda leased: min(leased, torch.cuda.memory_reserved(device)),
        wake_s=_DEVICE_WAKE_S,
    )


def _shared(device: torch.device) -> Hardware:
    if not can_register_host_memory(device):
        raise InputError(
            f"{device} cannot use host memory in place (cudaDevAttrHostRegisterSupported is 0: it "
            "is not I/O coherent); use device='cuda'"
        )
    calls = TorchCuda(device)
    return Hardware(
        name=f"unified {_describe(device)}",
        backend=UnifiedBackend(calls),
        gauge=DeviceGauge(calls, SHARED),
        read_bounds=read_memory_bounds,
        held_bytes=lambda leased: leased,
        wake_s=_DEVICE_WAKE_S,
    )


def _properties(device: torch.device) -> torch._C._CudaDeviceProperties:
    return torch.cuda.get_device_properties(device)


def _describe(device: torch.device) -> str:
    """Tell what speed and memory of a network depend on."""
    found = _properties(device)
    cudnn = torch.backends.cudnn
    version = cudnn.version()  # type: ignore[no-untyped-call]  # torch's own gap
    modes = f"benchmark {cudnn.benchmark}, deterministic {cudnn.deterministic}"
    return f"{found.name} {found.major}.{found.minor}, cudnn {version}, {modes}"


def _read_device_bound(device: torch.device) -> MemoryBound:
    free_bytes, total_bytes = torch.cuda.mem_get_info(device)
    return MemoryBound(
        source=str(device), limit_bytes=total_bytes, free_bytes=free_bytes, pressure=0.0
    )
