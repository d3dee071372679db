"""The reports for people that an evaluation ends with."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from swapnet_core.errors import SwapNetError
from swapnet_ros.cli.evaluate_curve import write_curve
from swapnet_ros.cli.evaluate_inputs import say
from swapnet_ros.cli.evaluate_options import EvaluateOptions
from swapnet_ros.evaluation.direct.report_folder import ReportFolder
from swapnet_ros.evaluation.report.page import write_report


def write_pages(runs: Sequence[EvaluateOptions], *, with_curve: bool) -> None:
    """Write the page of every evaluation that has begun.

    Args:
        runs: the first one's page compares all of them.
        with_curve: the first one's shows latency over budget, too.

    Raises:
        StorageError: a page cannot be written.
        InputError: a folder's files are not those of an evaluation.
    """
    folders = [ReportFolder(path=options.out) for options in runs]
    if with_curve:
        _add_curve(folders[0])
    for folder in folders:
        if folder.results.exists():
            write_report(folder.path, folder.page)
            say(f"report: {folder.page}")


def _add_curve(folder: ReportFolder) -> None:
    with Console(stderr=True).status("latency over budget") as status:
        try:
            write_curve(folder, status.update)
        except KeyboardInterrupt:
            say("the curve of latency over budget is left out")
        except SwapNetError as error:  # the evaluation is done, and its report counts more
            say(f"the curve of latency over budget is left out: {error}")
