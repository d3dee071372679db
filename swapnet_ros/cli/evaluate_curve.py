"""`curve.json`: latencies that are predicted for other budgets than the one evaluated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from swapnet_ros.cli.planning import profile_all, sweep
from swapnet_ros.cli.scenario import read_scenario
from swapnet_ros.evaluation.direct.report_folder import ReportFolder


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
