"""What a real-time priority of the reading threads gains, in turns in one runtime.

    python benchmarks/read_priority.py [--rounds 10] resnet101 --ratio 3.5
    OMP_NUM_THREADS=1 python benchmarks/read_priority.py ...  # fewer threads than cores

*waited* is how long the reading threads together waited for a processor, per inference, by
`/proc/self/task/*/schedstat`. *plain* is the network in memory.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import torch
from turns import INFERENCES, Turns, open_turns, parser_of

from swapnet_core.thread_priority import LOWEST, allowed_priority
from swapnet_ros.one_heap import start_with_one_heap

_ARMS = ("ordinary", "real time", "plain")


def main() -> None:
    """Measure, and print a Markdown table."""
    options = parser_of(__doc__).parse_args()
    if not allowed_priority(LOWEST):
        raise SystemExit("this process may have no real-time priority; see docs/install.md")
    with open_turns(options, lambda network: network.build()) as turns:
        readers = _Readers()
        for number in range(options.rounds):
            for arm in _ARMS if number % 2 else reversed(_ARMS):
                with readers.being(arm):
                    turns.take(arm, is_plain=arm == "plain")
        _print(options, turns, readers)


class _Readers:
    """The threads that read.

    Attributes:
        waits_s: by arm, how long they waited for a processor in every turn, per inference.
    """

    def __init__(self) -> None:
        threads = threading.enumerate()
        self._ids = [t.native_id or 0 for t in threads if t.name.startswith("swapnet-fetch")]
        assert self._ids, "the runtime is open"
        self.waits_s: dict[str, list[float]] = defaultdict(list)

    @contextlib.contextmanager
    def being(self, arm: str) -> Iterator[None]:
        """Be of an arm's kind inside."""
        is_first = arm == "real time"
        for native_id in self._ids:
            policy = os.SCHED_FIFO if is_first else os.SCHED_OTHER
            os.sched_setscheduler(native_id, policy, os.sched_param(LOWEST if is_first else 0))
        before_s = self._waited_s()
        yield
        self.waits_s[arm].append((self._waited_s() - before_s) / INFERENCES)

    def _waited_s(self) -> float:
        files = [Path(f"/proc/self/task/{native_id}/schedstat") for native_id in self._ids]
        return sum(int(file.read_text().split()[1]) * 1e-9 for file in files)


def _print(options: argparse.Namespace, turns: Turns, readers: _Readers) -> None:
    streamed = turns.model.plan.streamed_bytes / 2**20
    print(f"{options.network} at {options.ratio}: {streamed:.0f} MiB,", end=" ")
    print(f"{torch.get_num_threads()} compute threads\n")
    print("| | ms | stall, ms | waited, ms | to plain | to ordinary (quartiles) |")
    print("|---|---|---|---|---|---|")
    for arm in _ARMS:
        columns = (turns.latencies_s, turns.stalls_s, readers.waits_s)
        times = " | ".join(f"{statistics.median(column[arm]) * 1e3:.1f}" for column in columns)
        low, middle, high = statistics.quantiles(turns.ratios(arm, "ordinary"))
        ratio = f"{middle:.3f} ({low:.3f} to {high:.3f})"
        print(f"| {arm} | {times} | {turns.ratio(arm, 'plain'):.3f} | {ratio} |")


if __name__ == "__main__":
    start_with_one_heap()
    main()
