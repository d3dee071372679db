"""`swapnet report`: the page of an evaluation, from what lies in its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from swapnet_ros.cli.planning import profile_all, sweep
from swapnet_ros.cli.scenario import read_scenario
from swapnet_ros.evaluation.direct.report_files import ReportFolder
from swapnet_ros.evaluation.report.page import write_report


def report(
    folder: Annotated[Path, typer.Argument(help="What `swapnet evaluate` has left: its --out.")],
    out: Annotated[
        Path | None, typer.Option(help="The HTML file; report.html in the folder by default.")
    ] = None,
) -> None:
    """Make one self-contained HTML file of an evaluation, complete or not."""
    path = ReportFolder(path=folder).page if out is None else out
    write_report(folder, path)
    print(path)


def write_curve(
    folder: ReportFolder,
    config: Path,
    *,
    cache_dir: Path | None,
    progress: Callable[[str], None],
) -> None:
    """Predict latencies for other budgets, from profiles alone, beside what was measured.

    Args:
        folder: of the evaluation; a curve that is there already stays.
        config: the scenario's parameter file.
        cache_dir: where the profiles lie; None for the scenario's own.
        progress: told what is done next.

    Raises:
        SwapNetError: a network cannot be profiled.
    """
    if folder.curve.exists():
        return
    scenario = read_scenario(config)
    networks = profile_all(
        scenario.networks, cache_dir=cache_dir or scenario.cache_dir, progress=progress
    )
    names = [network.name for network in networks.networks]
    curve = {
        "demand_bytes": networks.demand_bytes,
        "least_bytes": networks.least_bytes,
        "points": [
            {
                "budget_bytes": point.budget_bytes,
                "latency_s": dict(zip(names, point.latencies_s, strict=True)),
            }
            for point in sweep(networks, progress)
        ],
    }
    folder.curve.write_text(json.dumps(curve, indent=2) + "\n", encoding="utf-8")
