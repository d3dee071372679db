"""What a replay's process holds over time."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySample:
    """Memory at one moment; the columns of `memory.csv` are the fields.

    Attributes:
        t_s: since the bag's time began.
        core_bytes: what the core may hold, as its newest status says, which comes once per second.
        process_bytes: private memory of the nodes' process, above what it held before the core.
        budget_bytes: in force, as the newest status says.
    """

    t_s: float
    core_bytes: int
    process_bytes: int
    budget_bytes: int


class MemoryWatch:
    """Takes samples, at most so many per second. Use from one thread."""

    def __init__(self, *, period_s: float = 0.1) -> None:
        self.samples: list[MemorySample] = []
        self._period_s = period_s
        self._begin_s: float | None = None
        self._next_s = float("-inf")

    def __repr__(self) -> str:
        return f"<MemoryWatch {len(self.samples)} samples>"

    def look(self, *, core_bytes: int, process_bytes: int, budget_bytes: int) -> None:
        """Take a sample, if it is time for one."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + self._period_s
        if self._begin_s is None:
            self._begin_s = now_s
        self.samples.append(
            MemorySample(
                t_s=now_s - self._begin_s,
                core_bytes=core_bytes,
                process_bytes=process_bytes,
                budget_bytes=budget_bytes,
            )
        )


def write_memory(path: Path, samples: Iterable[MemorySample]) -> None:
    """Write `memory.csv`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [each.name for each in fields(MemorySample)])
        writer.writeheader()
        for sample in samples:
            writer.writerow({**asdict(sample), "t_s": f"{sample.t_s:.3f}"})
