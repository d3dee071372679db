"""Several evaluations of one bag, one after the other, and what they come to."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from swapnet_core.errors import SwapNetError
from swapnet_ros.cli.evaluate_options import EvaluateOptions
from swapnet_ros.evaluation.direct.budget_words import UNLIMITED
from swapnet_ros.evaluation.direct.comparison import compare_results
from swapnet_ros.evaluation.direct.evaluation import read_outcome
from swapnet_ros.evaluation.direct.report_folder import ReportFolder
from swapnet_ros.evaluation.direct.stop_request import StopRequest
from swapnet_ros.evaluation.direct.whole_file import replace_text

_POLL_S = 0.1


class EndedError(SwapNetError):
    """The process of an evaluation was ended from outside."""


def evaluate_each(runs: Sequence[EvaluateOptions]) -> int:
    """Evaluate one after the other, each in a process of its own: memory is measured apart.

    Ctrl-C is passed on to the one that runs, which stops after the frame in hand.

    Args:
        runs: with folders of their own.

    Returns:
        0, or the exit code of the first one that did not come to its end.

    Raises:
        EndedError: the system ended one of them.
    """
    for options in runs:
        exit_code = _evaluate(options)
        if exit_code < 0:
            name = signal.Signals(-exit_code).name
            raise EndedError(
                f"the evaluation in {options.out} was ended by {name}; where that is SIGKILL, the "
                "system may have run out of memory. --resume goes on with it"
            )
        if exit_code:
            return exit_code
    return 0


def compare_runs(runs: Sequence[EvaluateOptions]) -> dict[str, Any]:
    """Compare finished evaluations: with the plain networks where they are among them.

    Also written to `comparison.json` in the first one's folder.

    Returns:
        A row of figures for each, and what differs in results; of JSON types.
    """
    folders = [ReportFolder(path=options.out) for options in runs]
    outcomes = [read_outcome(folder) for folder in folders]
    reference = next(
        (number for number, each in enumerate(outcomes) if each["budget"] == UNLIMITED), 0
    )
    rows = []
    for number, (folder, outcome) in enumerate(zip(folders, outcomes, strict=True)):
        row = _row(folder.path, outcome)
        if number != reference:
            difference = compare_results(folder.results, folders[reference].results)
            row["against_reference"] = {**asdict(difference), "is_equal": difference.is_equal}
        rows.append(row)
    comparison = {
        "reference": outcomes[reference]["budget"],
        "is_equal": all(row.get("against_reference", {}).get("is_equal", True) for row in rows),
        "frames_done": outcomes[reference]["frames_done"],
        "runs": rows,
    }
    text = json.dumps(comparison, indent=2)
    replace_text(folders[0].comparison, text + "\n")
    read_back: dict[str, Any] = json.loads(text)
    return read_back


def _row(folder: Path, outcome: dict[str, Any]) -> dict[str, Any]:
    chosen = ("budget", "budget_bytes", "frames_per_s", "process_peak_bytes", "core_peak_bytes")
    return {
        **{key: outcome.get(key) for key in chosen},
        "folder": str(folder),
        "is_exact": all(task["is_exact"] for task in outcome["tasks"].values()),
        "tasks": {
            name: {key: task.get(key) for key in ("inference_s", "read_bytes_per_inference")}
            for name, task in outcome["tasks"].items()
        },
    }


def _evaluate(options: EvaluateOptions) -> int:
    """Run one evaluation; its progress bar goes to this process's standard error."""
    with (
        StopRequest() as stop,
        # a session of its own: Ctrl-C comes once, from here, and a second one ends both
        subprocess.Popen(
            options.command(), stdout=subprocess.DEVNULL, start_new_session=True
        ) as child,
    ):
        is_told = False
        try:
            while True:
                try:
                    return child.wait(_POLL_S)
                except subprocess.TimeoutExpired:
                    if stop.is_made and not is_told:
                        child.send_signal(signal.SIGINT)
                        is_told = True
        except BaseException:
            child.kill()
            raise
