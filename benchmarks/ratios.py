"""The table of docs/benchmarks.md: `swapnet bench` over networks and budget ratios.

    python benchmarks/ratios.py [--pairs 10] [--json out/ratios.json] [NETWORK[@SHAPE] ...]

Every row is a run of its own process. Do nothing else on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_NETWORKS = ("resnet101", "vit_b_16", "convnext_base", "densenet161", "yolov3", "vgg16")
_RATIOS = (2.32, 3.5, 5.81)
_MIB = 2**20
_COMMAND = "from swapnet_ros.cli.app import main; main()"


def main() -> None:
    """Measure, and print a Markdown table."""
    options = _parse()
    rows = []
    print(
        "| network | demand / budget | budget MiB | resident | read | plain ms | swapped ms | "
        "ratio (pairs) | bound ms | to bound | predicted | exact |\n" + "|---" * 12 + "|"
    )
    for network in options.networks:
        for ratio in _RATIOS:
            row = _bench(network, ratio, options.pairs)
            rows.append(row)
            print(_line(row), flush=True)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(rows, indent=2))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=_NETWORKS)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _bench(network: str, ratio: float, pairs: int) -> dict[str, Any]:
    name, _, shape = network.partition("@")
    command = [sys.executable, "-c", _COMMAND, "bench", name, "--json"]
    command += ["--budget-ratio", str(ratio), "--pairs", str(pairs)]
    command += ["--input", shape] if shape else []
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 2:
        reason = " ".join(done.stderr.split("error:")[-1].split())
        return {"network": name, "wanted_ratio": ratio, "error": reason}
    if not done.stdout:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return {"wanted_ratio": ratio, **json.loads(done.stdout)}


def _line(row: dict[str, Any]) -> str:
    head = f"| {row['network']} | {row['wanted_ratio']} |"
    if "error" in row:
        return f"{head} {row['error']} |" + " |" * 9
    ratios = sorted(row["ratios"])
    predicted = row["predicted_s"] / row["swapped_s"] - 1
    return (
        f"{head} {row['budget_bytes'] / _MIB:.1f} | {row['resident_bytes'] / _MIB:.1f} | "
        f"{row['read_bytes'] / _MIB:.1f} | {row['plain_s'] * 1e3:.0f} | "
        f"{row['swapped_s'] * 1e3:.0f} | {row['ratio']:.3f} ({ratios[0]:.2f} to "
        f"{ratios[-1]:.2f}) | {row['bound_s'] * 1e3:.0f} | {row['ratio_to_bound']:.3f} | "
        f"{predicted:+.0%} | {'yes' if row['is_exact'] else 'NO'} |"
    )


if __name__ == "__main__":
    main()
