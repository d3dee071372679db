"""`curve.json`: latencies that are predicted for other budgets than the one evaluated."""

from __future__ import annotations

import json
from collections.abc import Callable

from swapnet_ros.cli.planning import NetworkSet, ProfiledNetwork, sweep
from swapnet_ros.evaluation.direct.account_files import read_profiles
from swapnet_ros.evaluation.direct.report_folder import ReportFolder
from swapnet_ros.evaluation.direct.whole_file import replace_text


def write_curve(folder: ReportFolder, progress: Callable[[str], None]) -> None:
    """Predict latencies for other budgets, from profiles alone, beside what was measured.

    Args:
        folder: of the evaluation. A curve that is there already stays; where there are no
            profiles, as of plain networks, there is none.
        progress: told what is done next.

    Raises:
        InputError: the profiles cannot be read.
        ReportError: the curve cannot be written.
    """
    if folder.curve.exists() or not folder.profiles.exists():
        return
    known, device = read_profiles(folder)
    networks = NetworkSet(
        [
            ProfiledNetwork(name=name, network=name, rate_hz=each.rate_hz, profile=each.profile)
            for name, each in known.items()
        ],
        device,
    )
    curve = {
        "demand_bytes": networks.demand_bytes,
        "least_bytes": networks.least_bytes,
        "points": [
            {
                "budget_bytes": point.budget_bytes,
                "latency_s": dict(zip(known, point.latencies_s, strict=True)),
            }
            for point in sweep(networks, progress)
        ],
    }
    replace_text(folder.curve, json.dumps(curve, indent=2) + "\n")
