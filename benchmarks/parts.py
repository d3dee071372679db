"""What makes a swapped inference longer than the plain one, part by part.

    python benchmarks/parts.py [--rounds 10] resnet101 --ratio 3.5

One runtime and one plan, in turns; each line leaves out more than the one above it:

    swapped          as it is
    waiting          storage is not read: reading threads sleep for as long as it takes by its
                     speed, one request after the other
    waking           reading threads wake for every request, and are done at once
    looking up       no thread wakes: blocks count as read where their reads would have begun
    plain            the network in memory

So, less its stalls, *swapped* is above *waiting* by what storage costs compute, *waking* above
*looking up* by the reading threads' work, and that above *plain* by looking up weights and entering
blocks. All weights are 0: where nothing is read, slots hold other weights than they should.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import statistics
import threading
import time
import timeit
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch

from swapnet_core import SwappedModel, SwapRuntime
from swapnet_core.lane import Piece
from swapnet_core.stream import Stream
from swapnet_ros.cli.fresh_cache import fresh_cache
from swapnet_ros.cli.networks import NamedNetwork, named_network, parse_shape
from swapnet_ros.one_heap import start_with_one_heap

_BATCH = 6
_FIRST = 2
"""Inferences after a change that do not count."""
_SETTLE_S = 0.05
_ARMS = ("swapped", "waiting", "waking", "looking up", "plain")


def main() -> None:
    """Measure, and print a Markdown table."""
    options = _parse()
    name, _, shape = options.network.partition("@")
    network = named_network(name, parse_shape(shape) if shape else None)
    with fresh_cache(None) as root, SwapRuntime(budget=2**62, cache_dir=root) as runtime:
        plain = _without_weights(network)
        build = functools.partial(_without_weights, network)
        model = runtime.load(network.name, build, network.inputs)
        runtime.set_budget(int(model.stats().demand_bytes / options.ratio))
        for _ in range(10):
            model(*network.inputs)
        runtime.set_budget(runtime.report().budget_bytes)
        bandwidth = runtime.report().read_bandwidth_bytes_per_s
        arms = _Arms(runtime, model, plain, network.inputs, bandwidth)
        for number in range(options.rounds):
            for arm in _ARMS if number % 2 else reversed(_ARMS):
                arms.take_turn(arm)
        _print(options, model, arms)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", help="NAME[@SHAPE]")
    parser.add_argument("--ratio", type=float, default=3.5, help="Of demand to budget.")
    parser.add_argument("--rounds", type=int, default=10)
    return parser.parse_args()


def _without_weights(network: NamedNetwork) -> torch.nn.Module:
    module = network.build()
    with torch.no_grad():
        for weight in module.parameters():
            weight.zero_()
    return module


class _Arms:
    """What takes turns."""

    def __init__(
        self,
        runtime: SwapRuntime,
        model: SwappedModel,
        plain: torch.nn.Module,
        inputs: tuple[Any, ...],
        bytes_per_s: float,
    ) -> None:
        self._runtime = runtime
        self._model = model
        self._plain = plain
        self._inputs = inputs
        self._bytes_per_s = bytes_per_s
        self._lock = threading.Lock()
        self._is_read_s = 0.0
        self.latencies_s: dict[str, list[float]] = {arm: [] for arm in _ARMS}
        self.stalls_s: dict[str, list[float]] = {arm: [] for arm in _ARMS}

    def take_turn(self, arm: str) -> None:
        """Measure some inferences in a row."""
        infer = self._infer_plain if arm == "plain" else lambda: self._model(*self._inputs)
        with self._leaving_out(arm):
            for _ in range(_FIRST):
                infer()
            before_s = self._model.stats().stall_s
            latencies_s = timeit.repeat(infer, number=1, repeat=_BATCH)
            self.latencies_s[arm].append(statistics.median(latencies_s))
            self.stalls_s[arm].append((self._model.stats().stall_s - before_s) / _BATCH)
            time.sleep(_SETTLE_S)

    def _infer_plain(self) -> None:
        def infer() -> None:
            with torch.inference_mode():
                self._plain(*self._inputs)

        self._runtime.call(infer)

    @contextlib.contextmanager
    def _leaving_out(self, arm: str) -> Iterator[None]:
        with contextlib.ExitStack() as exits:
            if arm == "waiting":
                exits.enter_context(
                    mock.patch.object(Piece, "read", lambda piece: self._wait(piece))
                )
            if arm in ("waking", "looking up"):
                exits.enter_context(mock.patch.object(Piece, "read", _read_nothing))
            if arm == "looking up":
                exits.enter_context(mock.patch.object(Stream, "_look_ahead", _land_at_once))
            yield

    def _wait(self, piece: Piece) -> None:
        with self._lock:
            begin_s = max(self._is_read_s, time.perf_counter())
            end_s = self._is_read_s = begin_s + piece.size_bytes / self._bytes_per_s
        time.sleep(max(0.0, end_s - time.perf_counter()))
        _read_nothing(piece)


def _read_nothing(piece: Piece) -> None:
    piece.begin_s = piece.end_s = time.perf_counter()
    piece.read_bytes = piece.size_bytes
    assert piece._landing is not None, "it was prepared"
    piece._landing.cancel()


def _land_at_once(stream: Stream) -> None:
    """Be what `_look_ahead` is, without waking anybody."""
    while stream._is_open and (piece := stream.next_piece()) is not None:
        piece.prepare()
        _read_nothing(piece)
        stream.land(piece, None)


def _print(options: argparse.Namespace, model: SwappedModel, arms: _Arms) -> None:
    plain_s = arms.latencies_s["plain"]
    blocks = sum(not block.is_resident for block in model.plan.blocks)
    print(f"{options.network} at {options.ratio}: {model.plan.streamed_bytes / 2**20:.0f} MiB")
    print(f"in {blocks} blocks, {torch.get_num_threads()} compute threads\n")
    print("| | ms | stall, ms | ratio to plain (pairs) |\n|---|---|---|---|")
    for arm in _ARMS:
        own_s, stall_s = arms.latencies_s[arm], statistics.median(arms.stalls_s[arm])
        ratio = statistics.median(a / b for a, b in zip(own_s, plain_s, strict=True))
        print(
            f"| {arm} | {statistics.median(own_s) * 1e3:.1f} | {stall_s * 1e3:.1f} | {ratio:.3f} |"
        )


if __name__ == "__main__":
    start_with_one_heap()
    main()
