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
import statistics
import threading
import time
from collections.abc import Iterator
from unittest import mock

import torch
from turns import Turns, open_turns, parser_of

from swapnet_core.lane import Piece
from swapnet_core.stream import Stream
from swapnet_ros.cli.networks import NamedNetwork
from swapnet_ros.one_heap import start_with_one_heap

_ARMS = ("swapped", "waiting", "waking", "looking up", "plain")


def main() -> None:
    """Measure, and print a Markdown table."""
    options = parser_of(__doc__).parse_args()
    with open_turns(options, _without_weights) as turns:
        arms = _Arms(turns.runtime.report().read_bandwidth_bytes_per_s)
        for number in range(options.rounds):
            for arm in _ARMS if number % 2 else reversed(_ARMS):
                with arms.leaving_out(arm):
                    turns.take(arm, is_plain=arm == "plain")
        _print(options, turns)


def _without_weights(network: NamedNetwork) -> torch.nn.Module:
    module = network.build()
    with torch.no_grad():
        for weight in module.parameters():
            weight.zero_()
    return module


class _Arms:
    """What is left out."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._lock = threading.Lock()
        self._is_read_s = 0.0

    @contextlib.contextmanager
    def leaving_out(self, arm: str) -> Iterator[None]:
        """Leave out inside what an arm is without."""
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


def _print(options: argparse.Namespace, turns: Turns) -> None:
    plan = turns.model.plan
    blocks = sum(not block.is_resident for block in plan.blocks)
    print(f"{options.network} at {options.ratio}: {plan.streamed_bytes / 2**20:.0f} MiB")
    print(f"in {blocks} blocks, {torch.get_num_threads()} compute threads\n")
    print("| | ms | stall, ms | ratio to plain (pairs) |\n|---|---|---|---|")
    for arm in _ARMS:
        latency_s = statistics.median(turns.latencies_s[arm])
        stall_s = statistics.median(turns.stalls_s[arm])
        ratio = turns.ratio(arm, "plain")
        print(f"| {arm} | {latency_s * 1e3:.1f} | {stall_s * 1e3:.1f} | {ratio:.3f} |")


if __name__ == "__main__":
    start_with_one_heap()
    main()
