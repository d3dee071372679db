"""`progress.json`: how far an evaluation has come, and what has to be the same to go on with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from swapnet_core.errors import InputError
from swapnet_ros.evaluation.direct.whole_file import replace_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """An evaluation at one moment.

    Attributes:
        setup: what decides about results and figures, of JSON types.
        frames: how many are done.
        is_complete: all frames are done.
        results_bytes: of the results file, up to the last frame.
        timings_bytes: of the timings file.
        elapsed_s: time spent on frames, in all sittings together.
        scores: state of every task's scorer, of JSON types.
    """

    setup: Mapping[str, Any]
    frames: int = 0
    is_complete: bool = False
    results_bytes: int = 0
    timings_bytes: int = 0
    elapsed_s: float = 0.0
    scores: Mapping[str, Any] = field(default_factory=dict)

    def require_same_setup(self, setup: Mapping[str, Any]) -> None:
        """Make sure that going on makes sense.

        Raises:
            InputError: something differs; names it.
        """
        present = json.loads(json.dumps(setup))
        different = [
            key
            for key in sorted(self.setup.keys() | present.keys())
            if self.setup.get(key) != present.get(key)
        ]
        if different:
            raise InputError(
                f"the evaluation that was stopped had another {' and another '.join(different)}, "
                "so it cannot be resumed with this one; give another --out, or leave --resume out "
                "to start again"
            )


def write_progress(path: Path, progress: Progress) -> None:
    """Write the file; an older one is replaced in one step.

    Raises:
        ReportError: it cannot be written; the older one is as it was.
    """
    replace_text(path, json.dumps(asdict(progress)) + "\n")


def read_progress(path: Path) -> Progress | None:
    """Read the file; None where there is none.

    Raises:
        InputError: it is not what `write_progress` wrote.
    """
    try:
        return Progress(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read: {error}; remove it to start again, or give another --out"
        ) from error
