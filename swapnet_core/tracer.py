"""Run a network once for real and learn: order of weights, times, peak of activations.

[Note: activations]
In the first pass tensors are kept out of the heap (see `memory`), and malloc's free memory is
returned to the system before every operator, so the process's
private memory is what is live: activations, and the scratch inside operators, which no allocator
hook sees as a whole. (On a CUDA device torch's allocator sees all of it; see `DeviceGauge`.) Each
pass is measured from where it begins: other networks may run between the passes. The second pass
leaves malloc alone and shows what it keeps beside that. Free holes that the process had before (the
weights' own initialisation leaves some) can make the second figure several times the first, without
more being held than before: so it counts up to a limit.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from swapnet_core.errors import NetworkError, SwapNetError
from swapnet_core.gauges import HOST_GAUGE, Gauge
from swapnet_core.layering import AccessRecord, find_tileable, form_layers
from swapnet_core.sizes import MIB
from swapnet_core.specs import NO_STEP, NetworkTrace, WeightSpec
from swapnet_core.tiles import weight_read_by

TRACE_VERSION = 4
"""Raised when traces are made or written differently: cached ones are then made anew."""

_TIMED_PASSES = 3
_SLOW_PASS_S = 1.0
_MOST_KEPT = 1.5
_SMALL_KEPT_BYTES = 4 * MIB

T = TypeVar("T")
OnFree = Callable[[], None]


class Compute(Protocol):
    """Runs something on the thread that computes, and waits for it."""

    def __call__(self, run: Callable[[], T], /) -> T:
        """Return what `run` returns, or raise what it raises."""
        ...


class WeightLender(Protocol):
    """Lends weights to a trace."""

    @property
    def live_bytes(self) -> int:
        """Bytes of lent weights that the lender allocated and that are still alive."""
        ...

    def lend(self, weight: int, on_free: OnFree) -> torch.Tensor:
        """Return a weight; `on_free` is called when its storage dies, if it can."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedCall:
    """What is traced: a call, and the weights that it finds.

    Attributes:
        compute: runs every pass; others may compute between two of them.
        run: one forward, in inference mode.
        set_source: routes the network's accesses to the given source.
        weights: the network's stored tensors.
        tile_units_rows: for weights that may be run by tiles: of how many rows they are multiples.
        lender: gives their values.
        buffer_bytes: of the network's buffers.
        gauge: measures the device that the network runs on.
    """

    compute: Compute
    run: Callable[[], Any]
    set_source: Callable[[Any], None]
    weights: Sequence[WeightSpec]
    tile_units_rows: Mapping[int, int]
    lender: WeightLender
    buffer_bytes: int
    gauge: Gauge = HOST_GAUGE


def trace(call: TracedCall) -> NetworkTrace:
    """Learn a network by running it several times.

    Args:
        call: see `TracedCall`.

    Returns:
        The trace, with layers in order of first use.

    Raises:
        NetworkError: the network cannot be run on its example inputs.
    """
    record, stayed_bytes = call.compute(lambda: _first_pass(call))
    again = call.compute(lambda: _record_pass(call, _held_bytes(call), _ignore))
    record.pinned |= again.pinned
    passes = [call.compute(lambda: _timed_pass(call))]
    if passes[0].total_s < _SLOW_PASS_S:
        passes += [call.compute(lambda: _timed_pass(call)) for _ in range(_TIMED_PASSES - 1)]
    tileable = find_tileable(call.tile_units_rows, record, again)
    layers, access_steps, steps = form_layers(call.weights, record, tileable)
    head_s, step_s = _step_times(passes, record, access_steps, len(steps))
    return NetworkTrace(
        weights=tuple(call.weights),
        layers=layers,
        accesses=tuple(record.accesses),
        access_steps=access_steps,
        steps=steps,
        step_compute_s=step_s,
        head_compute_s=head_s,
        activation_bytes=_activation_bytes(record.peak_bytes, stayed_bytes + again.peak_bytes),
        buffer_bytes=call.buffer_bytes,
    )


def _activation_bytes(live_bytes: int, held_bytes: int) -> int:
    """Count what is live at the peak, and what malloc keeps beside it; see [Note: activations]."""
    return min(max(held_bytes, live_bytes), int(live_bytes * _MOST_KEPT) + _SMALL_KEPT_BYTES)


class _RecordingSource:
    """Answers accesses during the first pass and keeps their order."""

    def __init__(self, lender: WeightLender) -> None:
        self.record = AccessRecord()
        self.is_lending = False
        self._lender = lender
        self._owner: dict[int, int] = {}
        self._latest: dict[int, int] = {}

    def access(self, weight: int) -> torch.Tensor:
        key: list[int] = []
        self.is_lending = True
        try:
            tensor = self._lender.lend(weight, lambda: self._forget(key))
        finally:
            self.is_lending = False
        key.append(tensor.untyped_storage()._cdata)
        self._owner[key[0]] = weight
        self._latest[weight] = len(self.record.accesses)
        self.record.held_until.append(len(self.record.accesses))
        self.record.tiled_reads.append(0)
        self.record.accesses.append(weight)
        return tensor

    def watch(self, weight: int, tensor: torch.Tensor) -> None:
        """Recognise a weight also where it is read without having been accessed."""
        self._owner[tensor.untyped_storage()._cdata] = weight

    def see_read(self, tensor: torch.Tensor, tiled: torch.Tensor | None = None) -> None:
        """Take note of a weight that is read; `tiled` is the tensor that could be read by tiles."""
        weight = self._owner.get(tensor.untyped_storage()._cdata)
        if weight is None:
            return
        if weight not in self._latest:
            self.record.pinned.add(weight)
            return
        access = self._latest[weight]
        self.record.held_until[access] = len(self.record.accesses) - 1
        if tensor is tiled:
            self.record.tiled_reads[access] += 1
        else:
            self.record.read_whole.add(weight)

    def _forget(self, key: list[int]) -> None:
        """The storage died: its address may soon be an activation's."""
        if key:
            self._owner.pop(key[0], None)


class _OperatorWatch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own gap
    """Sees every operator: which weights it reads, how high memory goes meanwhile."""

    def __init__(
        self,
        source: _RecordingSource,
        call: TracedCall,
        base_bytes: int,
        tidy: Callable[[], None],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own gap
        self._source = source
        self._call = call
        self._base_bytes = base_bytes
        self._tidy = tidy

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Not to be wrapped by torch: that imports its compiler, 80 MiB that would be measured."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if self._source.is_lending:  # whoever reads or draws the weight works with tensors, too
            return func(*args, **(kwargs or {}))
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, torch.Tensor):
                self._source.see_read(leaf, weight_read_by(func, args))
        gauge = self._call.gauge
        self._tidy()
        gauge.reset_peak()
        result = func(*args, **(kwargs or {}))
        record = self._source.record
        held_bytes = gauge.peak_bytes() - self._call.lender.live_bytes
        record.peak_bytes = max(record.peak_bytes, held_bytes - self._base_bytes)
        return result


class _TimingSource:
    """Answers accesses and notes when, so that times exclude the lending."""

    def __init__(self, lender: WeightLender, gauge: Gauge) -> None:
        self._lender = lender
        self._gauge = gauge
        self.begins: list[Any] = []
        self.ends: list[Any] = []

    def access(self, weight: int) -> torch.Tensor:
        self.begins.append(self._gauge.mark())
        tensor = self._lender.lend(weight, _ignore)
        self.ends.append(self._gauge.mark())
        return tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class _TimedPass:
    """Compute time before the first access, and after each one up to the next."""

    head_s: float
    segments_s: tuple[float, ...]

    @property
    def total_s(self) -> float:
        return self.head_s + sum(self.segments_s)


def _ignore() -> None:
    return None


def _held_bytes(call: TracedCall) -> int:
    """Memory without what is kept for later, and without lent weights."""
    return call.gauge.held_bytes() - call.lender.live_bytes


def _first_pass(call: TracedCall) -> tuple[AccessRecord, int]:
    """Run under watch; tell also how much stays of it, such as kernels."""
    base_bytes = _held_bytes(call)
    with call.gauge.apart():
        record = _record_pass(call, base_bytes, call.gauge.tidy)
    return record, max(0, _held_bytes(call) - base_bytes)


def _record_pass(call: TracedCall, base_bytes: int, tidy: Callable[[], None]) -> AccessRecord:
    """Run once under watch.

    Args:
        call: is run.
        base_bytes: held before; what is more counts as the call's.
        tidy: called before every operator.
    """
    source = _RecordingSource(call.lender)
    call.set_source(source)
    if isinstance(call.lender, InMemoryLender):
        for weight, tensor in enumerate(call.lender.tensors):
            source.watch(weight, tensor)
    with _NetworkErrors(), _OperatorWatch(source, call, base_bytes, tidy):
        output = call.run()
    for leaf in tree_leaves(output):  # a weight that is an output is read at the end: see Runner
        if isinstance(leaf, torch.Tensor):
            source.see_read(leaf)
    return source.record


def _timed_pass(call: TracedCall) -> _TimedPass:
    gauge = call.gauge
    source = _TimingSource(call.lender, gauge)
    call.set_source(source)
    with _NetworkErrors():
        begin = gauge.mark()
        call.run()
        end = gauge.mark()
        gauge.settle()
    starts, ends = [begin, *source.ends], [*source.begins, end]
    spans = [gauge.seconds_between(*span) for span in zip(starts, ends, strict=True)]
    return _TimedPass(head_s=spans[0], segments_s=tuple(spans[1:]))


class InMemoryLender:
    """Lends the weights of a network that is in memory as a whole."""

    live_bytes = 0

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        self.tensors = tensors

    def lend(self, weight: int, on_free: OnFree) -> torch.Tensor:
        """Return the network's own tensor, which outlives the trace."""
        return self.tensors[weight]


def _step_times(
    passes: Sequence[_TimedPass], record: AccessRecord, access_steps: Sequence[int], steps: int
) -> tuple[float, tuple[float, ...]]:
    """Add the segments of the middle pass (by total time) to the steps that they are in."""
    usable = [timed for timed in passes if len(timed.segments_s) == len(record.accesses)]
    if not usable:
        total_s = statistics.median(timed.total_s for timed in passes)
        return (0.0, tuple(total_s / steps for _ in range(steps))) if steps else (total_s, ())
    middle = sorted(usable, key=lambda timed: timed.total_s)[len(usable) // 2]
    head_s = middle.head_s
    step_s = [0.0] * steps
    current = NO_STEP
    for step, duration_s in zip(access_steps, middle.segments_s, strict=True):
        current = step if step != NO_STEP else current
        if current == NO_STEP:
            head_s += duration_s
        else:
            step_s[current] += duration_s
    return head_s, tuple(step_s)


class _NetworkErrors:
    """Translate what a network raises on its example inputs."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, _traceback: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, SwapNetError):
            raise NetworkError(
                f"the network cannot be run on its example inputs: {type(error).__name__}: {error}"
            ) from error
