"""The table of docs/benchmarks.md: `swapnet bench` over networks and budget ratios.

    python benchmarks/ratios.py [--pairs 10] [--threads 1] [--json FILE] [NETWORK[@SHAPE] ...]

Every row is a run of its own process, in which the plain network, the swapped one and the plain
two-block scheme take turns. Do nothing else on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

# FCN at 520 pixels has activations that leave no room for the higher ratios; at 224 it has.
_NETWORKS = (
    "resnet101",
    "vgg19",
    "yolov3",
    "fcn_resnet101@1x3x520x520",
    "fcn_resnet101@1x3x224x224",
    "ufld_resnet18",
    "densenet161",
)
_RATIOS = (2.32, 3.5, 5.81)
_MIB = 2**20
_HEADERS = (
    "network",
    "demand / budget",
    "demand",
    "budget",
    "resident",
    "read",
    "plain, ms",
    "swapped, ms",
    "predicted, ms",
    "at the run's speeds",
    "stall, ms",
    "ratio to plain (pairs)",
    "bound, ms",
    "ratio to bound",
    "bound in budget, ms",
    "ratio to it",
    "plain beside reads, ms",
    "both done, ms",
    "bound beside reads, ms",
    "ratio to that",
    "exact",
    "two blocks: ratio to plain (pairs)",
    "read",
)


def main() -> None:
    """Measure, and print a Markdown table."""
    options = _parse()
    rows = []
    print(f"| {' | '.join(_HEADERS)} |\n{'|---' * len(_HEADERS)}|", flush=True)
    for network in options.networks:
        for ratio in options.ratios:
            row = _bench(network, ratio, options)
            rows.append(row)
            print(_line(row), flush=True)
            if options.json is not None:
                options.json.parent.mkdir(parents=True, exist_ok=True)
                options.json.write_text(json.dumps(rows, indent=2))
    for key in ("predicted_s", "predicted_at_speed_s"):
        print(f"\n{key} against measured: {_errors(rows, key)}")


def _errors(rows: list[dict[str, Any]], key: str) -> str:
    """Median and range, over the bench set, of how far predictions are off."""
    swapped = [row["swapped"] for row in rows if "swapped" in row]
    if not swapped:
        return "no rows"
    errors = sorted(figures[key] / figures["swapped_s"] - 1 for figures in swapped)
    off = statistics.median(abs(error) for error in errors)
    return f"{off:.1%} off in the median, {errors[0]:+.1%} to {errors[-1]:+.1%}"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=_NETWORKS)
    parser.add_argument("--ratios", nargs="+", type=float, default=_RATIOS)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--threads", type=int, help="That compute; by default torch's choice.")
    parser.add_argument("--json", type=Path, help="Written anew after every row.")
    return parser.parse_args()


def _bench(network: str, ratio: float, options: argparse.Namespace) -> dict[str, Any]:
    name, _, shape = network.partition("@")
    command = [
        sys.executable,
        "-m",
        "swapnet_ros.cli",
        "bench",
        name,
        "--json",
        "--against=two-blocks",
    ]
    command += ["--budget-ratio", str(ratio), "--pairs", str(options.pairs)]
    command += ["--threads", str(options.threads)] if options.threads else []
    command += ["--input", shape] if shape else []
    done = subprocess.run(command, capture_output=True, text=True)
    asked = {"asked": network, "wanted_ratio": ratio}
    if done.returncode == 2:
        return {**asked, "error": " ".join(done.stderr.split("error:")[-1].split())}
    if not done.stdout:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return {**asked, **json.loads(done.stdout)}


def _line(row: dict[str, Any]) -> str:
    cells = [row["asked"], str(row["wanted_ratio"])]
    if "error" in row:
        cells.append(row["error"])
        cells += [""] * (len(_HEADERS) - len(cells))
    else:
        cells += _figures(row)
    return f"| {' | '.join(cells)} |"


def _figures(row: dict[str, Any]) -> list[str]:
    swapped = row["swapped"]
    return [
        _mib(row["demand_bytes"]),
        _mib(row["budget_bytes"]),
        _mib(swapped["resident_bytes"]),
        _read(swapped),
        _ms(row["plain_s"]),
        _ms(swapped["swapped_s"]),
        _prediction(swapped, "predicted_s"),
        _prediction(swapped, "predicted_at_speed_s"),
        _ms(swapped["stall_s"]),
        _ratio(swapped),
        _ms(row["bound_s"]),
        f"{row['ratio_to_bound']:.3f}",
        _ms(row["bound_in_budget_s"]),
        f"{row['ratio_to_bound_in_budget']:.3f}",
        _ms(row["beside_reads_s"]),
        _ms(row["with_reads_s"]),
        _ms(row["bound_beside_reads_s"]),
        f"{row['ratio_to_bound_beside_reads']:.3f}",
        _exact(swapped),
        *_rival(row),
    ]


def _prediction(figures: dict[str, Any], key: str) -> str:
    return f"{_ms(figures[key])} ({figures[key] / figures['swapped_s'] - 1:+.1%})"


def _read(figures: dict[str, Any]) -> str:
    """What was read per inference, and what should have been where that differs."""
    expected_bytes = figures["used_bytes"] - figures["resident_bytes"]
    if figures["read_bytes"] == expected_bytes:
        return _mib(figures["read_bytes"])
    return f"{_mib(figures['read_bytes'])}, but weights - resident is {_mib(expected_bytes)}"


def _exact(figures: dict[str, Any]) -> str:
    if figures["difference"] == 0.0:
        return "yes, with tiles" if figures["tiles"] else "yes"
    difference = f"{figures['difference']:.1e}"
    return f"tiles, {difference}" if figures["is_right"] else f"NO, {difference}"


def _rival(row: dict[str, Any]) -> list[str]:
    rival = row["rival"]
    if rival is None:
        return [row["rival_reason"], ""]
    return [_ratio(rival) + ("" if rival["is_right"] else " WRONG OUTPUTS"), _read(rival)]


def _ratio(figures: dict[str, Any]) -> str:
    ratios = figures["ratios"]
    return f"**{figures['ratio']:.3f}** ({min(ratios):.2f} to {max(ratios):.2f})"


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / _MIB:.1f}"


def _ms(duration_s: float) -> str:
    return f"{duration_s * 1e3:.1f}"


if __name__ == "__main__":
    main()
