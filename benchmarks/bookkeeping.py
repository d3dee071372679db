"""How long swapping's own code takes in an inference.

    python benchmarks/bookkeeping.py [--rounds 10] densenet161 --ratio 2.32

On a machine that others use, too, these times scatter less than latencies. *compute* is the
inference thread's time in look-ups of weights and in entering blocks, less its stalls, and with
what interrupts it there: mostly a reading thread that it has woken. *readers* is the reading
threads' processor time, with what the kernel does for their reads; *switches* is how often they
gave the processor up. All are per inference: medians of the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import torch
from turns import INFERENCES, Turns, open_turns, parser_of

from swapnet_core.assembly import ParameterTable
from swapnet_core.lane import Lane
from swapnet_core.stream import Stream
from swapnet_ros.one_heap import start_with_one_heap

_SWITCHES = "\nvoluntary_ctxt_switches:"


class _Round(NamedTuple):
    compute_s: float
    readers_s: float
    switches: float
    stall_s: float
    latency_s: float


def main() -> None:
    """Measure, and print a Markdown table."""
    options = parser_of(__doc__).parse_args()
    with open_turns(options, lambda network: network.build()) as turns:
        _print(options, turns, [_take(turns) for _ in range(options.rounds)])


def _take(turns: Turns) -> _Round:
    readers = _Readers()
    with _Clock().installed() as clock:
        latency_s = turns.take("swapped", is_plain=False)
    seconds, switches = readers.since()
    return _Round(
        compute_s=clock.busy_s / INFERENCES,
        readers_s=seconds / INFERENCES,
        switches=switches / INFERENCES,
        stall_s=clock.stall_s / INFERENCES,
        latency_s=latency_s,
    )


class _Clock:
    """Takes the inference thread's times.

    Attributes:
        busy_s: in look-ups and entries, without stalls.
        stall_s: waiting for blocks.
    """

    def __init__(self) -> None:
        self.busy_s = 0.0
        self.stall_s = 0.0
        self._is_looking_up = False

    @contextlib.contextmanager
    def installed(self) -> Iterator[_Clock]:
        """Take them inside."""
        look_up, enter = ParameterTable.__getitem__, Stream.enter

        def timed_look_up(table: ParameterTable, name: str) -> object:
            begin_s, self._is_looking_up = time.perf_counter(), True
            found = look_up(table, name)
            self._is_looking_up = False
            self.busy_s += time.perf_counter() - begin_s
            return found

        def timed_enter(stream: Stream, lane: Lane, use: int) -> float:
            begin_s = time.perf_counter()
            waited_s = enter(stream, lane, use)
            if not self._is_looking_up:  # a tile's; a whole block's is in its look-up
                self.busy_s += time.perf_counter() - begin_s
            self.busy_s -= waited_s
            self.stall_s += waited_s
            return waited_s

        with (
            mock.patch.object(ParameterTable, "__getitem__", timed_look_up),
            mock.patch.object(Stream, "enter", timed_enter),
        ):
            yield self


class _Readers:
    """What the reading threads take from now on."""

    def __init__(self) -> None:
        threads = threading.enumerate()
        ids = [t.native_id for t in threads if t.name.startswith("swapnet-fetch")]
        assert ids, "the runtime is open"
        self._folders = [Path(f"/proc/self/task/{native_id}") for native_id in ids]
        self._seconds, self._switches = self._read()

    def since(self) -> tuple[float, int]:
        """Return seconds, and how often they gave the processor up."""
        seconds, switches = self._read()
        return seconds - self._seconds, switches - self._switches

    def _read(self) -> tuple[float, int]:
        seconds = sum(
            int((folder / "schedstat").read_text().split()[0]) * 1e-9 for folder in self._folders
        )
        statuses = [(folder / "status").read_text() for folder in self._folders]
        return seconds, sum(int(text.split(_SWITCHES)[1].split()[0]) for text in statuses)


def _print(options: argparse.Namespace, turns: Turns, rounds: list[_Round]) -> None:
    plan = turns.model.plan
    print(f"{options.network} at {options.ratio}: {plan.streamed_bytes / 2**20:.0f} MiB")
    print(f"in {len(plan.uses)} uses, {torch.get_num_threads()} compute threads\n")
    print("| compute, ms | readers, ms | switches | stall, ms | latency, ms |")
    print("|---|---|---|---|---|")
    medians = _Round(*map(statistics.median, zip(*rounds, strict=True)))
    print(
        f"| {medians.compute_s * 1e3:.2f} | {medians.readers_s * 1e3:.2f} "
        f"| {medians.switches:.0f} | {medians.stall_s * 1e3:.1f} | {medians.latency_s * 1e3:.1f} |"
    )


if __name__ == "__main__":
    start_with_one_heap()
    main()
