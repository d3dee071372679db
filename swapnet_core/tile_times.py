"""Time what it costs to run a layer by tiles: each operator beside one of its own tiles.

A tile takes its share of its layer's time, and something beside: a convolution brings its input
into another order for every call, a matrix product packs it, and what a tile makes is copied into
the output. How much that is depends on the operator, its sizes, the library and the machine: from
nothing to a third of the layer. So it is measured.
"""

from __future__ import annotations

import statistics
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

    Kernels for tiles stay in memory, about half a MiB each. So only the largest layers are timed;
    for the others the time is taken to grow with the size of the input, as theirs does.
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
        self._untimed = set(_largest_shapes([weights[weight] for weight in units_rows]))
        self._input_bytes: list[int] = []
        self._per_byte_s: list[float] = []
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
        return tensor

    def per_tile_s(self) -> list[float]:
        """Return, for every access, by how much longer its operator takes for each tile."""
        per_byte_s = statistics.median(self._per_byte_s) if self._per_byte_s else 0.0
        return [
            self._timed_s.get(number, size_bytes * per_byte_s)
            for number, size_bytes in enumerate(self._input_bytes)
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
        self._per_byte_s.append(per_tile_s / max(1, size_bytes))
        return output

    def _measure(
        self, run: Callable[[], torch.Tensor], call: TiledCall, weight: torch.Tensor, rows: int
    ) -> tuple[torch.Tensor, float]:
        """Run the whole operator and a tile in turns.

        Returns:
            What the operator returns, and what the tile takes beyond its share, in seconds.
        """
        output, whole_s = self._timed(run)
        tile_s = min(
            self._timed(
                lambda: call.join(output, (0, rows), call.run_tile((0, rows), weight[:rows]))
            )[1]
            for _ in range(_REPEATS)  # the first one makes the kernel
        )
        del output
        output, again_s = self._timed(run)
        return output, max(0.0, tile_s - min(whole_s, again_s) * rows / weight.shape[0])

    def _timed(self, run: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, float]:
        gauge = self._gauge
        begin = gauge.mark()
        result = run()
        end = gauge.mark()
        gauge.settle()
        return result, gauge.seconds_between(begin, end)


def _largest_shapes(weights: Iterable[WeightSpec]) -> list[tuple[int, ...]]:
    """Return the shapes of the largest weights, one of each."""
    sizes = {weight.shape: weight.size_bytes for weight in weights}
    return sorted(sizes, key=lambda shape: (-sizes[shape], shape))[:_TIMED_SHAPES]
