"""Lane labels of the TuSimple benchmark: a file with one JSON object for each image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from swapnet_ros.evaluation.truth.frame import TruthFrame, TruthLanes
from swapnet_ros.evaluation.truth.image_names import without_suffix
from swapnet_ros.evaluation.truth.text_files import read_text
from swapnet_ros.perception.errors import LabelsError


class TuSimpleFile:
    """The lane lines of all images that the file lists.

    Threads: any thread may call any method; the object never changes.
    """

    def __init__(self, path: Path, *, width: float = 1280, height: float = 720) -> None:
        """Read the file.

        Args:
            path: lines of `{"raw_file": ..., "h_samples": [...], "lanes": [[...], ...]}`; -2
                stands for no point.
            width: pixels of the labelled images.
            height: pixels of the labelled images.

        Raises:
            LabelsError: the file cannot be read, or a line is not of that form.
        """
        self._frames = {}
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            if not line.strip():
                continue
            try:
                label = json.loads(line)
                name = without_suffix(label["raw_file"])
                self._frames[name] = TruthFrame(lanes=_lanes(label, width, height))
            except (KeyError, TypeError, ValueError) as error:
                raise LabelsError(
                    f"{path}:{number}: this line is no label of TuSimple, an object with "
                    f"'raw_file', 'h_samples' and 'lanes': {type(error).__name__} {error}",
                    path=path,
                ) from error
        self.names = tuple(self._frames)

    def read(self, name: str) -> TruthFrame | None:
        """The lines of an image, given its `raw_file` without suffix."""
        return self._frames.get(name)


def _lanes(label: dict[str, Any], width: float, height: float) -> TruthLanes:
    rows = np.asarray(label["h_samples"], dtype=np.float64)
    if rows.ndim != 1 or not len(rows) or np.any(np.diff(rows) <= 0):
        raise ValueError("h_samples must be rows that rise")
    columns = [np.asarray(lane, dtype=np.float64) for lane in label["lanes"]]
    if any(lane.shape != rows.shape for lane in columns):
        raise ValueError(f"a lane has not {len(rows)} columns, one for each of h_samples")
    table = np.array(columns).reshape(len(columns), len(rows))
    return TruthLanes(
        rows=rows,
        columns=np.where(table >= 0, table, np.nan),
        scored=np.arange(len(rows)),
        width=width,
        height=height,
    )
