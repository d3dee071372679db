"""`timings.csv`: what every frame took in every task, apart from the results."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swapnet_ros.evaluation.direct.grown_file import GrownFile

if TYPE_CHECKING:  # brings the networks along, and timings are also read without them
    from swapnet_ros.evaluation.direct.frame_analyst import TaskAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingRow:
    """One frame in one task; the file's columns are the fields.

    Attributes:
        frame: position in the evaluation, from 0.
        task: its name.
        inferences: how many it took.
        inference_s: their time, stalls included.
        stall_s: part of it that compute waited for blocks.
        answer_s: from when the tasks got the image to the result, others' inferences included.
        read_bytes: read from storage for the task's network.
        process_bytes: the most that the process held during the frame, above its baseline.
    """

    frame: int
    task: str
    inferences: int
    inference_s: float
    stall_s: float
    answer_s: float
    read_bytes: int
    process_bytes: int


_COLUMNS = tuple(each.name for each in fields(TimingRow))
_NUMBERS: dict[str, Any] = {
    **dict.fromkeys(("frame", "inferences", "read_bytes", "process_bytes"), int),
    **dict.fromkeys(("inference_s", "stall_s", "answer_s"), float),
}


class TimingsFile:
    """Writes one file of timings. Use from one thread."""

    def __init__(self, path: Path, *, resume_at: int = 0) -> None:
        """Begin a file, or go on with one.

        Args:
            path: the file; what it held beyond `resume_at` is given up.
            resume_at: bytes to keep, as `position` told them; 0: none.

        Raises:
            InputError: the file is gone, or shorter than `resume_at`.
            ReportError: it cannot be written.
        """
        self._file = GrownFile(path, resume_at=resume_at)
        if not resume_at:
            self._file.append((",".join(_COLUMNS) + "\n").encode())

    def __repr__(self) -> str:
        return f"<TimingsFile {self._file!r}>"

    @property
    def position(self) -> int:
        """Bytes so far."""
        return self._file.position

    def append(self, frame: int, answers: Sequence[TaskAnswer], *, process_bytes: int) -> None:
        """Add a frame's rows.

        Raises:
            ReportError: they cannot be written; the file is as it was before.
        """
        rows = []
        for answer in answers:
            cost = answer.cost
            row = (
                *(str(frame), answer.task, str(cost.inferences)),
                *(f"{each:.6f}" for each in (cost.compute_s + cost.stall_s, cost.stall_s)),
                *(f"{answer.answer_s:.6f}", str(cost.read_bytes), str(process_bytes)),
            )
            rows.append(",".join(row) + "\n")
        self._file.append("".join(rows).encode())

    def sync(self) -> None:
        """See `GrownFile.sync`.

        Raises:
            ReportError: it cannot be written to the disk.
        """
        self._file.sync()

    def close(self) -> None:
        """Close the file; may be called again."""
        self._file.close()


def read_timings(path: Path) -> Iterator[TimingRow]:
    """Yield the rows of a file of timings.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield TimingRow(**{key: _NUMBERS.get(key, str)(text) for key, text in row.items()})
