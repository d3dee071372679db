"""Where an evaluation begins: at the first frame, or where an earlier sitting was stopped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from swapnet_core.errors import InputError
from swapnet_ros.evaluation.direct.progress_file import Progress, read_progress
from swapnet_ros.evaluation.direct.report_folder import ReportFolder
from swapnet_ros.evaluation.direct.request import DirectRequest


def find_beginning(request: DirectRequest, folder: ReportFolder) -> Progress:
    """Make the report's folder, where there is none, and look how far it has come.

    Args:
        request: what is to be evaluated.
        folder: of its report.

    Returns:
        How far an evaluation that is gone on with has come; without frames for a new one.

    Raises:
        InputError: the folder cannot be used; an unfinished evaluation would be lost; or it is not
            of the same bag, scenario, weights, budget, labels and recording.
    """
    _require_apart(request.bag, folder)
    _make(folder.path)
    setup = _setup(request)
    earlier = read_progress(folder.progress)
    if earlier is None:
        return Progress(setup=setup)
    if request.is_resumed:
        earlier.require_same_setup(setup)
        return earlier
    if earlier.frames and not earlier.is_complete:
        raise InputError(
            f"{folder.path} has an evaluation that was stopped after {earlier.frames} frames; "
            "--resume goes on with it; to give it up, remove that folder"
        )
    return Progress(setup=setup)


def _require_apart(bag: Path, folder: ReportFolder) -> None:
    """Make sure that the report does not come over the bag."""
    found = bag.resolve()
    for place in (folder.path.resolve(), folder.recording.resolve()):
        if place in (found, found.parent):
            raise InputError(f"{place} belongs to the bag; name another folder with --out")


def _make(folder: Path) -> None:
    """Make the folder, and see that it can be written to before networks are loaded."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--out {folder}: the folder cannot be made: {error.strerror or error}"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"--out {folder}: you may not write to this folder")


def _setup(request: DirectRequest) -> dict[str, Any]:
    """What has to be the same for an evaluation that is resumed."""
    return {
        "bag": _files(request.bag),
        "budget": request.budget,
        "scenario": {task.name: task.describe() for task in request.tasks},
        "weights": {
            task.name: _files(task.network.weights)
            for task in request.tasks
            if isinstance(task.network.weights, Path)
        },
        "labels": dict(request.labels),
        "--record": request.is_recorded,
    }


def _files(path: Path) -> list[list[Any]]:
    """Names and sizes of a file, or of the files in a folder; a report may lie beside them."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [[each.name, each.stat().st_size] for each in files if each.is_file()]
