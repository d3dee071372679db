"""What differs between live results and those of direct mode, for the frames that were answered.

Messages have numbers of 32 bits where results have 64: scores and shares. Both sides are brought to
32 bits before they are compared, and then have to be equal in every digit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from swapnet_ros.evaluation.direct.evaluation import read_outcome
from swapnet_ros.evaluation.direct.report_folder import ReportFolder
from swapnet_ros.evaluation.direct.results_file import read_frames, read_tail

_SHOWN = 10
_AS_32_BITS = ("score", "shares")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveComparison:
    """Live results against a reference, answer by answer.

    Attributes:
        frames: that were answered, and compared.
        different: frames of which an answer is not the reference's.
        first_different: frame and names of the tasks that differ, of the first few.
        is_accuracy_equal: the figures of accuracy are the same; None where not all images were
            answered, since then they are of other images.
    """

    frames: int
    different: int
    first_different: tuple[tuple[int, tuple[str, ...]], ...]
    is_accuracy_equal: bool | None

    @property
    def is_equal(self) -> bool:
        """Whether there is no difference in what can be compared."""
        return self.different == 0 and self.is_accuracy_equal is not False


def compare_live(live: Path, reference: Path) -> LiveComparison:
    """Compare the results of a replay with those of direct mode; neither is held in memory.

    Args:
        live: `results.json` of the replay.
        reference: `results.json` of direct mode, of the same bag and scenario, complete.

    Raises:
        OSError: a file cannot be read.
    """
    frames, answers, known, first = 0, 0, 0, []
    different = 0
    for one, two in _pairs(live, reference):
        known += len(two)
        if one is None:
            continue
        number, results = one
        frames, answers = frames + 1, answers + len(results)
        names = tuple(
            name for name, each in results.items() if _rounded(each) != _rounded(two.get(name))
        )
        if names:
            different += 1
            if len(first) < _SHOWN:
                first.append((number, names))
    accuracies = [read_tail(path).get("accuracy") for path in (live, reference)]
    return LiveComparison(
        frames=frames,
        different=different,
        first_different=tuple(first),
        is_accuracy_equal=accuracies[0] == accuracies[1] if answers == known else None,
    )


def write_live_comparison(live: ReportFolder, reference: ReportFolder) -> dict[str, Any]:
    """Write `comparison.json` of a replay, with rows as in direct mode.

    Args:
        live: of the replay; the file goes there.
        reference: of direct mode.

    Returns:
        The file's content.
    """
    difference = compare_live(live.results, reference.results)
    outcomes = [(each.path, read_outcome(each)) for each in (live, reference)]
    rows = [_row(folder, outcome) for folder, outcome in outcomes]
    rows[0]["against_reference"] = {**asdict(difference), "is_equal": difference.is_equal}
    text = json.dumps(
        {
            "reference": outcomes[1][1]["budget"],
            "is_equal": difference.is_equal,
            "frames_done": difference.frames,
            "runs": rows,
        },
        indent=2,
    )
    live.comparison.write_text(text + "\n", encoding="utf-8")
    read_back: dict[str, Any] = json.loads(text)
    return read_back


def _row(folder: Path, outcome: Mapping[str, Any]) -> dict[str, Any]:
    chosen = (
        *("mode", "budget", "budget_bytes", "frames_per_s"),
        *("process_peak_bytes", "core_peak_bytes"),
    )
    tasks = outcome["tasks"]
    exact = [task.get("is_exact") for task in tasks.values()]
    return {
        **{key: outcome.get(key) for key in chosen},
        "folder": str(folder),
        # a live core does not tell whether layers run by tiles
        "is_exact": None if None in exact else all(exact),
        "tasks": {
            name: {key: task.get(key) for key in ("inference_s", "read_bytes_per_inference")}
            for name, task in tasks.items()
        },
    }


def _pairs(
    live: Path, reference: Path
) -> Iterator[tuple[tuple[int, Mapping[str, Any]] | None, Mapping[str, Any]]]:
    """The reference's results of each frame, and the live ones; both files have one order."""
    answered = read_frames(live)
    waiting = next(answered, None)
    for known in read_frames(reference):
        given = {name: each for name, each in known["results"].items() if "refused" not in each}
        if waiting is not None and _place(waiting) == _place(known):
            yield (waiting["frame"], waiting["results"]), given
            waiting = next(answered, None)
        else:
            yield None, given
    while waiting is not None:  # of frames that the reference does not have
        yield (waiting["frame"], waiting["results"]), {}
        waiting = next(answered, None)


def _place(frame: Mapping[str, Any]) -> tuple[str, int]:
    return frame["topic"], frame["index"]


def _rounded(value: Any, key: str = "") -> Any:
    """The same with the numbers that messages have in 32 bits in those."""
    if isinstance(value, Mapping):
        return {
            name: _rounded(each, key if key in _AS_32_BITS else name)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_rounded(each, key) for each in value]
    return float(np.float32(value)) if key in _AS_32_BITS else value
