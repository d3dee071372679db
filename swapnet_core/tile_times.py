"""Time what it costs to run a layer by tiles: each operator beside one of its own tiles.

A tile takes its share of its layer's time, and something beside: a convolution brings its input
into another order for every call, a matrix product packs it, and what a tile makes is copied into
the output. How much that is depends on the operator, its sizes, the library and the machine: from
nothing to a third of the layer. So it is measured.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from swapnet_core.gauges import Gauge
from swapnet_core.specs import WeightSpec, typical_tile_rows
from swapnet_core.tiles import TiledCall, weight_read_by

_TIMED_SHAPES = 3
_REPEATS = 3


class Lending(Protocol):
    """Gives the values of weights."""

    def __call__(self, weight: int, /) -> torch.Tensor:
        """Return a weight."""
        ...


class _Access(NamedTuple):
    """An access whose operator may run by tiles."""

    number: int
    weight: int
    tensor: torch.Tensor


class TileTimes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own gap
    """Answers the accesses of one forward, and times operators that could run by tiles.

    Kernels for tiles stay in memory, about half a MiB each. So only a few layers are timed: the
    largest of each kind, and the largest after that. For the others of a kind the time is taken to
    grow with the size of the input, as theirs does.
    """

    def __init__(
        self,
        weights: Sequence[WeightSpec],
        units_rows: Mapping[int, int],
        lend: Lending,
        gauge: Gauge,
    ) -> None:
        """Prepare for one forward.

        Args:
            weights: of the network.
            units_rows: for each weight that may be cut: of how many rows tiles are multiples.
            lend: gives a weight's value.
            gauge: of the device.
        """
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own gap
        self._units_rows = units_rows
        self._lend = lend
        self._gauge = gauge
        self._untimed = set(_shapes_to_time([weights[weight] for weight in units_rows]))
        self._input_bytes: list[int] = []
        self._kinds: list[int] = []
        self._per_byte_s: dict[int, list[float]] = defaultdict(list)
        self._timed_s: dict[int, float] = {}
        self._newest: _Access | None = None

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Not to be wrapped by torch: that imports its compiler, 80 MiB."""
        return False

    def access(self, weight: int) -> torch.Tensor:
        """Give the network a weight."""
        tensor = self._lend(weight)
        if weight in self._units_rows:
            self._newest = _Access(len(self._input_bytes), weight, tensor)
        self._input_bytes.append(0)
        self._kinds.append(tensor.dim())
        return tensor

    def per_tile_s(self) -> list[float]:
        """Return, for every access, by how much longer its operator takes for each tile."""
        per_byte_s = {kind: statistics.median(each) for kind, each in self._per_byte_s.items()}
        sizes = zip(self._kinds, self._input_bytes, strict=True)
        return [
            self._timed_s.get(number, size_bytes * per_byte_s.get(kind, 0.0))
            for number, (kind, size_bytes) in enumerate(sizes)
        ]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        newest = self._newest
        if newest is None or kwargs or weight_read_by(func, args) is not newest.tensor:
            return func(*args, **(kwargs or {}))
        self._newest = None
        call = TiledCall(func, args)
        rows = typical_tile_rows(newest.tensor.shape[0], self._units_rows[newest.weight])
        if not call.is_cut_by(rows):
            return func(*args)
        size_bytes = args[0].nbytes
        self._input_bytes[newest.number] = size_bytes
        shape = tuple(newest.tensor.shape)
        if shape not in self._untimed:
            return func(*args)
        self._untimed.remove(shape)
        output, per_tile_s = self._measure(lambda: func(*args), call, newest.tensor, rows)
        self._timed_s[newest.number] = per_tile_s
        self._per_byte_s[len(shape)].append(per_tile_s / max(1, size_bytes))
        return output

    def _measure(
        self, run: Callable[[], torch.Tensor], call: TiledCall, weight: torch.Tensor, rows: int
    ) -> tuple[torch.Tensor, float]:
        """Run the whole operator and a tile in turns.

        Returns:
            What the operator returns, and what the tile takes beyond its share, in seconds.
        """
        output, duration_s = self._timed(run)
        wholes_s, tiles_s = [duration_s], []
        for _ in range(_REPEATS):  # the first one makes the kernel
            tiles_s.append(self._time_tile(call, output, weight, rows))
            del output
            output, duration_s = self._timed(run)
            wholes_s.append(duration_s)
        return output, max(0.0, min(tiles_s) - min(wholes_s) * rows / weight.shape[0])

    def _time_tile(
        self, call: TiledCall, output: torch.Tensor, weight: torch.Tensor, rows: int
    ) -> float:
        """Time the first rows, with their way into the output, in seconds."""

        def run() -> torch.Tensor:
            call.join(output, (0, rows), call.run_tile((0, rows), weight[:rows]))
            return output

        return self._timed(run)[1]

    def _timed(self, run: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, float]:
        gauge = self._gauge
        begin = gauge.mark()
        result = run()
        end = gauge.mark()
        gauge.settle()
        return result, gauge.seconds_between(begin, end)


def _shapes_to_time(weights: Iterable[WeightSpec]) -> list[tuple[int, ...]]:
    """Choose shapes of weights: the largest of each kind, by dimensions, go first."""
    sizes = {weight.shape: weight.size_bytes for weight in weights}
    ranked = sorted(sizes, key=lambda shape: (-sizes[shape], shape))
    largest = {len(shape): shape for shape in reversed(ranked)}
    return sorted(ranked, key=lambda shape: largest[len(shape)] != shape)[:_TIMED_SHAPES]
