"""A swapped network and the plain one, measured in turns in one runtime; for other scripts."""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
import timeit
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import torch

from swapnet_core import SwappedModel, SwapRuntime
from swapnet_ros.cli.fresh_cache import fresh_cache
from swapnet_ros.cli.networks import NamedNetwork, named_network, parse_shape

_BATCH = 6
_FIRST = 3
"""Inferences after a change that do not count."""
INFERENCES = _FIRST + _BATCH
"""Of a turn, in all."""
_SETTLE_S = 0.05
_INFERENCES_TO_LEARN = 10


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """Make a parser of a script's options, with those that all have."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("network", help="NAME[@SHAPE]")
    parser.add_argument("--ratio", type=float, default=3.5, help="Of demand to budget.")
    parser.add_argument("--rounds", type=int, default=10)
    return parser


class Turns:
    """Arms that take turns.

    Attributes:
        latencies_s: by arm, the median of every turn.
        stalls_s: the same, of the mean.
    """

    def __init__(
        self,
        runtime: SwapRuntime,
        model: SwappedModel,
        plain: torch.nn.Module,
        inputs: tuple[Any, ...],
    ) -> None:
        self.runtime = runtime
        self.model = model
        self._plain = plain
        self._inputs = inputs
        self.latencies_s: dict[Hashable, list[float]] = defaultdict(list)
        self.stalls_s: dict[Hashable, list[float]] = defaultdict(list)

    def take(self, arm: Hashable, *, is_plain: bool) -> float:
        """Measure some inferences in a row, of the plain network or the swapped one.

        Returns:
            Their median, in seconds.
        """
        infer = self._infer_plain if is_plain else self._infer_swapped
        for _ in range(_FIRST):
            infer()
        before_s = self.model.stats().stall_s
        latency_s = statistics.median(timeit.repeat(infer, number=1, repeat=_BATCH))
        self.latencies_s[arm].append(latency_s)
        self.stalls_s[arm].append((self.model.stats().stall_s - before_s) / _BATCH)
        time.sleep(_SETTLE_S)
        return latency_s

    def ratio(self, arm: Hashable, other: Hashable) -> float:
        """Return the median of the ratios of two arms' turns."""
        return statistics.median(self.ratios(arm, other))

    def ratios(self, arm: Hashable, other: Hashable) -> list[float]:
        """Return the ratios of two arms' turns."""
        pairs = zip(self.latencies_s[arm], self.latencies_s[other], strict=True)
        return [one / two for one, two in pairs]

    def _infer_swapped(self) -> None:
        self.model(*self._inputs)

    def _infer_plain(self) -> None:
        def infer() -> None:
            with torch.inference_mode():
                self._plain(*self._inputs)

        self.runtime.call(infer)


@contextlib.contextmanager
def open_turns(
    options: argparse.Namespace, build: Callable[[NamedNetwork], torch.nn.Module]
) -> Iterator[Turns]:
    """Load a network, and let its plan learn the machine's speed under the budget asked for."""
    name, _, shape = options.network.partition("@")
    network = named_network(name, parse_shape(shape) if shape else None)
    with fresh_cache(None) as root, SwapRuntime(budget=2**62, cache_dir=root) as runtime:
        plain = build(network)
        model = runtime.load(network.name, lambda: build(network), network.inputs)
        runtime.set_budget(int(model.stats().demand_bytes / options.ratio))
        for _ in range(_INFERENCES_TO_LEARN):
            model(*network.inputs)
        runtime.set_budget(runtime.report().budget_bytes)
        yield Turns(runtime, model, plain, network.inputs)
