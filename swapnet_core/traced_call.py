"""What is traced: a call of a network, and who lends it its weights meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch

from swapnet_core import memory
from swapnet_core.errors import NetworkError, SwapNetError
from swapnet_core.gauges import HOST_GAUGE, Gauge
from swapnet_core.specs import WeightSpec

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


class InMemoryLender:
    """Lends the weights of a network that is in memory as a whole."""

    live_bytes = 0

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        self.tensors = tensors

    def lend(self, weight: int, on_free: OnFree) -> torch.Tensor:
        """Return the network's own tensor, which outlives the trace."""
        return self.tensors[weight]


def run_traced(call: TracedCall) -> Any:
    """Run a call once.

    Raises:
        NetworkError: the network raises on its example inputs.
    """
    try:
        with memory.large_tensors_in_heap():
            return call.run()
    except SwapNetError:
        raise
    except Exception as error:
        raise NetworkError(
            f"the network cannot be run on its example inputs: {type(error).__name__}: {error}"
        ) from error
