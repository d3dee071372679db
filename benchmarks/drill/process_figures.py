"""What a process holds and spends, as /proc tells it. Linux only."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What a process holds at one moment.

    Attributes:
        at_s: since the beginning of the measurement.
        rss_bytes: resident memory, `private_bytes` and `shared_bytes` and mapped files.
        private_bytes: of its own: heap, stacks, slots.
        shared_bytes: in shared memory: images on their way, in DDS's segments.
        threads: how many.
        files: open file descriptors.
    """

    at_s: float
    rss_bytes: int
    private_bytes: int
    shared_bytes: int
    threads: int
    files: int


def read_holdings(pid: int, at_s: float) -> Holdings:
    """Read what a process holds now.

    Raises:
        OSError: there is no such process.
    """
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    fields = dict(line.split(":", 1) for line in lines)

    def size_bytes(name: str) -> int:
        return int(fields[name].split()[0]) * 1024

    return Holdings(
        at_s=at_s,
        rss_bytes=size_bytes("VmRSS"),
        private_bytes=size_bytes("RssAnon"),
        shared_bytes=size_bytes("RssShmem"),
        threads=int(fields["Threads"]),
        files=len(os.listdir(f"/proc/{pid}/fd")),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """How a figure went over time.

    Attributes:
        first: median of the first third.
        last: median of the last third.
        per_min: slope of the straight line through all values.
        largest: of all values.
    """

    first: float
    last: float
    per_min: float
    largest: float

    @property
    def growth(self) -> float:
        """What the last third has more than the first."""
        return self.last - self.first


def trend(times_s: Sequence[float], values: Sequence[float]) -> Trend:
    """Sum up a series of at least three values."""
    third = len(values) // 3
    return Trend(
        first=statistics.median(values[:third]),
        last=statistics.median(values[-third:]),
        per_min=statistics.linear_regression(times_s, values).slope * 60.0,
        largest=max(values),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadTime:
    """Processor time of one thread since its start; `name` is the kernel's."""

    name: str
    cpu_s: float


def read_thread_times(pid: int) -> dict[int, ThreadTime]:
    """Read the processor time of every thread by its id, in steps of a clock tick (10 ms)."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            text = (task / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # it ended meanwhile
        head, _, tail = text.rpartition(")")
        fields = tail.split()
        ticks = int(fields[11]) + int(fields[12])  # utime, stime
        found[int(task.name)] = ThreadTime(name=head.partition("(")[2], cpu_s=ticks / _TICKS_PER_S)
    return found
