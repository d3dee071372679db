"""`swapnet report`: the page of an evaluation, from what lies in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(help="What `swapnet evaluate` has left: its --out.")],
    out: Annotated[
        Path | None, typer.Option(help="The HTML file; report.html in the folder by default.")
    ] = None,
) -> None:
    """Make one self-contained HTML file of an evaluation, complete or not."""
    from swapnet_ros.evaluation.direct.report_folder import ReportFolder
    from swapnet_ros.evaluation.report.page import write_report

    path = ReportFolder(path=folder).page if out is None else out
    write_report(folder, path)
    print(path)
