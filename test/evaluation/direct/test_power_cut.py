"""The order in which files reach the disk: a note of progress never speaks of results to come."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swapnet_ros.evaluation.direct.progress_file import Progress
from swapnet_ros.evaluation.direct.report_files import ReportFiles
from swapnet_ros.evaluation.direct.report_folder import ReportFolder
from swapnet_ros.evaluation.direct.scoring import Scoring


@pytest.fixture
def steps(monkeypatch):
    """Names of files in the order in which they were synced, and `-> name` of renamed ones."""
    found = []
    fsync, replace = os.fsync, Path.replace

    def sync(descriptor):
        found.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    def rename(path, target):
        found.append(f"-> {Path(target).name}")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", rename)
    return found


def test_results_are_on_the_disk_before_the_note_that_speaks_of_them(steps, tmp_path):
    report = ReportFiles(
        ReportFolder(path=tmp_path),
        Progress(setup={}),
        header={},
        scoring=Scoring(None, {}),
        image_counts={},
    )
    steps.clear()
    report.mark_complete()
    report.close()
    assert steps == ["results.json", "timings.csv", ".progress.json", "-> progress.json"]
