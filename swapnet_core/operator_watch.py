"""See every operator of one forward: which weights it reads, how high memory goes meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from swapnet_core.layering import AccessRecord, LivePeaks
from swapnet_core.operator_mode import OperatorMode
from swapnet_core.sizes import MIB
from swapnet_core.specs import typical_tile_rows
from swapnet_core.tiles import TiledCall, weight_read_by
from swapnet_core.traced_call import InMemoryLender, TracedCall, WeightLender, run_traced

_LEAST_CUT_BYTES = MIB
"""Cutting smaller weights makes no difference to what an operator holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How a forward is watched.

    Attributes:
        base_bytes: held before; what is more counts as the call's.
        tidy: called before every operator.
        tried_accesses: operators that come after these run a tile, too.
    """

    base_bytes: int
    tidy: Callable[[], None]
    tried_accesses: frozenset[int] = frozenset()


def watch_forward(call: TracedCall, watch: Watch) -> AccessRecord:
    """Run once under watch.

    Raises:
        NetworkError: the network raises on its example inputs.
    """
    source = RecordingSource(call.lender)
    call.set_source(source)
    if isinstance(call.lender, InMemoryLender):
        for weight, tensor in enumerate(call.lender.tensors):
            source.watch(weight, tensor)
    with _OperatorWatch(source, call, watch):
        output = run_traced(call)
    for leaf in tree_leaves(output):  # a weight that is an output is read at the end: see Runner
        if isinstance(leaf, torch.Tensor):
            source.see_read(leaf)
    return source.record


class RecordingSource:
    """Answers accesses during the first pass and keeps their order."""

    def __init__(self, lender: WeightLender) -> None:
        self.record = AccessRecord()
        self.is_lending = False
        self._lender = lender
        self._owner: dict[int, int] = {}
        self._latest: dict[int, int] = {}

    def access(self, weight: int) -> torch.Tensor:
        """Lend a weight, and note that it was asked for."""
        key: list[int] = []
        self.is_lending = True
        try:
            tensor = self._lender.lend(weight, lambda: self._forget(key))
        finally:
            self.is_lending = False
        key.append(tensor.untyped_storage()._cdata)
        self._owner[key[0]] = weight
        self._latest[weight] = len(self.record.accesses)
        self.record.live.append(LivePeaks())
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

    def access_of(self, weight: torch.Tensor) -> int:
        """Return the number of the newest access that gave a tensor; -1 where none did."""
        owner = self._owner.get(weight.untyped_storage()._cdata)
        return -1 if owner is None else self._latest.get(owner, -1)

    def _forget(self, key: list[int]) -> None:
        """The storage died: its address may soon be an activation's."""
        if key:
            self._owner.pop(key[0], None)


class _OperatorWatch(OperatorMode):
    def __init__(self, source: RecordingSource, call: TracedCall, watch: Watch) -> None:
        super().__init__()
        self._source = source
        self._call = call
        self._watch = watch

    def run(self, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        if self._source.is_lending:  # whoever reads or draws the weight works with tensors, too
            return func(*args, **kwargs)
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, torch.Tensor):
                self._source.see_read(leaf, weight_read_by(func, args))
        cut = None if kwargs else self._find_cut(func, args)
        peaks = self._source.record.live[-1]
        if cut is None:
            result, peak_bytes = self._measure(peaks, lambda: func(*args, **kwargs))
            peaks.other_bytes = max(peaks.other_bytes, peak_bytes)
            return result
        peaks.weight = cut.weight_index
        result, peaks.operator_bytes = self._measure(peaks, lambda: func(*args))
        if cut.access in self._watch.tried_accesses:
            _, peak_bytes = self._measure(peaks, lambda: cut.run_one(result))
            peaks.tile_bytes = max(1, peak_bytes)
        return result

    def _find_cut(self, func: Any, args: Any) -> _Cut | None:
        """Tell how an operator would run by tiles; None where it would not."""
        weight = weight_read_by(func, args)
        if weight is None:
            return None
        record = self._source.record
        access = self._source.access_of(weight)
        if access < 0 or record.live[-1].weight >= 0:
            return None
        index = record.accesses[access]
        unit_rows = self._call.tile_units_rows.get(index, 0)
        if not unit_rows or self._call.weights[index].size_bytes < _LEAST_CUT_BYTES:
            return None
        call, rows = TiledCall(func, args), typical_tile_rows(weight.shape[0], unit_rows)
        newest = len(record.accesses) - 1
        return _Cut(newest, index, call, weight, rows) if call.is_cut_by(rows) else None

    def _measure(self, peaks: LivePeaks, run: Callable[[], Any]) -> tuple[Any, int]:
        """Return what is returned, and the peak of what the call holds meanwhile."""
        self._watch.tidy()
        self._call.gauge.reset_peak()
        peaks.begin_bytes = peaks.begin_bytes or max(1, self._held_bytes())
        return run(), self._held_bytes()

    def _held_bytes(self) -> int:
        """The most that the call has held since the peak was reset."""
        peak_bytes = self._call.gauge.peak_bytes() - self._call.lender.live_bytes
        return peak_bytes - self._watch.base_bytes


@dataclass(frozen=True, slots=True)
class _Cut:
    """An operator that can run by tiles, and its typical tile.

    Attributes:
        access: the newest one when it ran.
    """

    access: int
    weight_index: int
    call: TiledCall
    weight: torch.Tensor
    rows: int

    def run_one(self, output: torch.Tensor) -> None:
        rows = (0, self.rows)
        self.call.join(output, rows, self.call.run_tile(rows, self.weight[: self.rows]))
