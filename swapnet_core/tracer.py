"""Run a network for real and learn: order of weights, times, peak of activations.

[Note: activations]
In the first passes tensors are kept out of the heap (see `memory`), and malloc's free memory is
returned to the system before every operator, so the process's private memory is what is live:
activations, and the scratch inside operators, which no allocator hook sees as a whole. (On a CUDA
device torch's allocator sees all of it; see `DeviceGauge`.) The first of these passes makes the
kernels, which stay; the second one shows what comes and goes. Each is measured from where it
begins: other networks may run between the passes.

Inferences have their activations in the heap, where malloc keeps holes beside what is live. So
further passes run as inferences will, with the heap put in order; what they hold at their peak,
over what is live, counts for every step. Where threads have caches of small pieces (see [Note:
caches of threads] in `memory.py`) it is chance, and not to be measured: a small object that lies in
the place of a large tensor sends that elsewhere, and VGG-19 with 37 MiB live holds 37, 50, 62 or
67, instead of always 37. There it is counted by a rule (`Gauge.kept_beside`). Where what is counted
does not do, room is made in front of the steps that need it; see [Note: room for a step] in
`heap_guard.py`.

Operators bring a large weight into another order in memory of their own, and hold it a second time
meanwhile: 36 of the 52 MiB that FCN-ResNet101 has live at its peak at 224 pixels. Run by tiles they
hold one tile twice. Where a few such operators make the peak, a further pass shows what is live
while they run a tile.
"""

from __future__ import annotations

import functools
import gc
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from swapnet_core.gauges import Gauge
from swapnet_core.layering import AccessRecord, LivePeaks, find_tileable, form_layers
from swapnet_core.operator_watch import Watch, watch_forward
from swapnet_core.sizes import MIB
from swapnet_core.specs import NO_STEP, NetworkTrace
from swapnet_core.tile_times import TileTimes
from swapnet_core.traced_call import TracedCall, WeightLender, run_traced

TRACE_VERSION = 11
"""Raised when traces are made or written differently: cached ones are then made anew."""

_TIMED_PASSES = 3
_SLOW_PASS_S = 1.0
_HIGH_SHARE = 0.85
_MOST_TRIES = 3
_LEAST_FREED_BYTES = MIB


def trace(call: TracedCall) -> NetworkTrace:
    """Learn a network by running it several times.

    Args:
        call: see `TracedCall`.

    Returns:
        The trace, with layers in order of first use.

    Raises:
        NetworkError: the network cannot be run on its example inputs.
    """
    gc.collect()  # not while memory is measured
    record, stayed_bytes = call.compute(lambda: _tidy_pass(call))
    again, more_bytes = call.compute(lambda: _tidy_pass(call))
    record.pinned |= again.pinned
    if again.accesses == record.accesses:
        record.live = again.live
    tileable = find_tileable(call.tile_units_rows, record, again)
    record = record.only_cutting(tileable)
    tried_bytes = call.compute(lambda: _try_tiles(call, record))
    passes = [call.compute(lambda: _timed_pass(call))]
    if passes[0].total_s < _SLOW_PASS_S:
        passes += [call.compute(lambda: _timed_pass(call)) for _ in range(_TIMED_PASSES - 1)]
    layers, access_steps, steps = form_layers(call.weights, record, tileable)
    head_s, step_s = _step_times(passes, record, access_steps, len(steps))
    per_tile_s, timed_bytes = call.compute(lambda: _tile_pass(call, tileable))
    head, *parts = _by_steps(record.live, access_steps, len(steps))
    kept_share = _find_kept(call, record.peak_bytes)

    def held(live_bytes: int) -> int:
        return live_bytes + call.gauge.kept_beside(live_bytes, kept_share)

    traced = NetworkTrace(
        weights=tuple(call.weights),
        layers=layers,
        accesses=tuple(record.accesses),
        access_steps=access_steps,
        steps=steps,
        step_compute_s=step_s,
        step_tile_s=_step_tile_times(per_tile_s, access_steps, len(steps)),
        head_compute_s=head_s,
        head_activation_bytes=held(head.whole_bytes),
        step_activation_bytes=tuple(held(part.whole_bytes) for part in parts),
        step_tile_activation_bytes=tuple(held(part.cut_bytes) for part in parts),
        step_live_bytes=tuple(part.begin_bytes for part in parts),
        step_growth_bytes=tuple(max(0, part.whole_bytes - part.begin_bytes) for part in parts),
        step_tile_growth_bytes=tuple(max(0, part.cut_bytes - part.begin_bytes) for part in parts),
        kept_bytes=0,
        buffer_bytes=call.buffer_bytes,
    )
    return traced.holding_more(stayed_bytes + more_bytes + tried_bytes + timed_bytes)


def _try_tiles(call: TracedCall, record: AccessRecord) -> int:
    """Note what those operators hold by tiles that make the peak; return what stays of trying."""
    high = _high_operators(record)
    if not high:
        return 0
    tried, stayed_bytes = _tidy_pass(call, frozenset(high))
    if tried.accesses == record.accesses:
        for access in high:
            record.live[access + 1].tile_bytes = tried.live[access + 1].tile_bytes
    return stayed_bytes


def _high_operators(record: AccessRecord) -> list[int]:
    """Return the accesses of the few operators that make the peak, and could run by tiles.

    None where what remains is not much lower: each kernel for tiles takes memory, too.
    """
    least_bytes = int(_HIGH_SHARE * record.peak_bytes)
    live = record.live[1:]
    high = [n for n, peaks in enumerate(live) if peaks.operator_bytes > least_bytes]
    rest = (peaks.other_bytes if n in high else peaks.whole_bytes for n, peaks in enumerate(live))
    return high if max([record.live[0].whole_bytes, *rest]) <= least_bytes else []


def _by_steps(
    live: Sequence[LivePeaks], access_steps: Sequence[int], steps: int
) -> list[LivePeaks]:
    """Return the peaks before the first step, and those of every step."""
    found = [LivePeaks() for _ in range(steps + 1)]
    current = NO_STEP
    for step, peaks in zip((NO_STEP, *access_steps), live, strict=True):
        current = step if step != NO_STEP else current
        found[current + 1].include(peaks)
    return found


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


def _tidy_pass(
    call: TracedCall, tried_accesses: frozenset[int] = frozenset()
) -> tuple[AccessRecord, int]:
    """Run under watch; tell also how much stays of it, such as kernels.

    Anew where less is held after it than before: what others let go of meanwhile hid what it held.
    """
    for _ in range(_MOST_TRIES):
        base_bytes = _held_bytes(call)
        watch = Watch(base_bytes=base_bytes, tidy=call.gauge.tidy, tried_accesses=tried_accesses)
        with call.gauge.apart():
            record = watch_forward(call, watch)
        stayed_bytes = _held_bytes(call) - base_bytes
        if stayed_bytes > -_LEAST_FREED_BYTES:
            break
    return record, max(0, stayed_bytes)


def _find_kept(call: TracedCall, live_bytes: int) -> float | None:
    """Return what inferences keep for later, as a share of what is live at the peak."""
    if not call.gauge.tries or not live_bytes:
        return None
    passes = [call.compute(lambda: _ordinary_pass(call)) for _ in range(call.gauge.tries)]
    return max(max(passes) / live_bytes - 1.0, 0.0)


def _ordinary_pass(call: TracedCall) -> int:
    """Run as inferences will, and return the most that is held.

    Anew where less is held after it than before; see `_tidy_pass`.
    """
    for _ in range(_MOST_TRIES):
        with call.gauge.in_order():
            base_bytes = _held_bytes(call)
            record = watch_forward(call, Watch(base_bytes=base_bytes, tidy=_ignore))
            if _held_bytes(call) - base_bytes > -_LEAST_FREED_BYTES:
                break
    return record.peak_bytes


def _timed_pass(call: TracedCall) -> _TimedPass:
    gauge = call.gauge
    source = _TimingSource(call.lender, gauge)
    call.set_source(source)
    begin = gauge.mark()
    run_traced(call)
    end = gauge.mark()
    gauge.settle()
    starts, ends = [begin, *source.ends], [*source.begins, end]
    spans = [gauge.seconds_between(*span) for span in zip(starts, ends, strict=True)]
    return _TimedPass(head_s=spans[0], segments_s=tuple(spans[1:]))


def _tile_pass(call: TracedCall, tileable: Mapping[int, int]) -> tuple[Sequence[float], int]:
    """Return by how much longer each access's operator takes per tile, and what stays of it."""
    if not tileable:
        return (), 0
    lend = functools.partial(call.lender.lend, on_free=_ignore)
    times = TileTimes(call.weights, tileable, lend, call.gauge)
    call.set_source(times)
    base_bytes = _held_bytes(call)
    with times:
        run_traced(call)
    return times.per_tile_s(), max(0, _held_bytes(call) - base_bytes)


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


def _step_tile_times(
    per_tile_s: Sequence[float], access_steps: Sequence[int], steps: int
) -> tuple[float, ...]:
    """Give each step the time of its one operator that could run by tiles."""
    step_s = [0.0] * steps
    if len(per_tile_s) == len(access_steps):
        for step, duration_s in zip(access_steps, per_tile_s, strict=True):
            if step != NO_STEP:
                step_s[step] += duration_s
    return tuple(step_s)
