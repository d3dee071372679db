"""What issue 6 has to show on a GPU: exact outputs, memory, overlap, latency, graphs, other tools.

    python benchmarks/on_gpu.py --cache-dir DIR [--json FILE] [--device cuda] [--limit-s 240]

Every network is a process of its own. What there was no time for is named in the result.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from gpu_parts.arms import measure, use_deterministic_algorithms
from gpu_parts.networks import find_network
from gpu_parts.rivals import compare
from gpu_parts.short import run_short

Row = dict[str, Any]

_RATIOS = (2.32, 5.81)
_JOBS = (  # the most important ones first: time may run out
    ("--check", "resnet101"),
    ("--rivals", "resnet101"),
    ("--check", "resnet18"),
    ("--check", "vgg19"),
    ("--check", "yolov3"),
    ("--check", "fcn_resnet101@1x3x224x224"),
    ("--check", "ufld_resnet18"),
    ("--check", "densenet161"),
    ("--rivals", "vgg19"),
)
_JOB_LIMIT_S = 90.0
_LEAST_S = 15.0


def main() -> None:
    options = _parse()
    use_deterministic_algorithms()
    if options.check:
        network = find_network(options.check)
        rows = measure(network, options.ratios, options.device, options.cache_dir)
        print(json.dumps(rows))
    elif options.rivals:
        print(json.dumps(compare(find_network(options.rivals), options.device, options.cache_dir)))
    elif options.short:
        found = run_short(options.device, options.cache_dir)
        print(json.dumps(found))
        sys.exit(0 if found["largest_difference"] == 0.0 else 1)
    else:
        _measure_all(options)


def _measure_all(options: argparse.Namespace) -> None:
    begin_s = time.monotonic()
    result: dict[str, Any] = {"machine": _machine(), "device": options.device, "rows": []}
    are_right = []
    for kind, name in _JOBS:
        rows = _run(kind, name, options, options.limit_s - (time.monotonic() - begin_s))
        result["rows"] += rows
        are_right += [_say(row) for row in rows]
        if options.json is not None:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(result, indent=2))
    print(f"{sum(are_right)} of {len(are_right)} rows are right")
    sys.exit(0 if all(are_right) else 1)


def _run(kind: str, name: str, options: argparse.Namespace, left_s: float) -> list[Row]:
    """Run one job in its own process."""
    job = {"network": name, "arm": kind.strip("-")}
    if left_s < _LEAST_S:
        return [{**job, "not_run": "there was no time left"}]
    common = ["--device", options.device, "--cache-dir", str(options.cache_dir)]
    ratios = ["--ratios", *map(str, options.ratios)]
    command = [sys.executable, __file__, kind, name, *ratios, *common]
    limit_s = min(left_s, _JOB_LIMIT_S)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return [{**job, "not_run": f"it took longer than its {limit_s:.0f} s"}]
    try:
        rows: list[Row] = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return [{**job, "error": done.stderr[-2000:]}]
    return rows


def _say(row: Row) -> bool:
    """Print a row; False where outputs differ that should not, or memory passed the budget."""
    title = f"{row['network']}, {row['arm']}, {row.get('ratio', '-')}"
    if "theirs" in row:
        ours = {name: f"{one['latency_s'] * 1e3:.2f}" for name, one in row["ours"].items()}
        theirs = row["theirs"]
        peak_mib = theirs["peak_bytes"] / 2**20
        print(f"{title}: {theirs['latency_s'] * 1e3:.2f} ms at {peak_mib:.1f} MiB, ours {ours} ms")
        return True
    if "swapped_s" not in row:
        print(f"{title}: {json.dumps({k: row[k] for k in row if k not in ('network', 'arm')})}")
        return "error" not in row
    is_equal = row["largest_difference"] == 0.0
    is_within = row["peak_bytes"] <= row["budget_bytes"]
    graphs = row["cuda_graphs"]
    without = "" if graphs is None or graphs["is_used"] else f", no graphs: {graphs['reason']}"
    print(
        f"{title}: plain {row['plain_s'] * 1e3:.2f} ms, swapped {row['swapped_s'] * 1e3:.2f} ms, "
        f"pairs {row['ratio_of_pairs']:.3f}, of the bound {row['ratio_to_bound']:.3f}, "
        f"peak {row['peak_bytes'] / 2**20:.1f} of {row['budget_bytes'] / 2**20:.1f} MiB, "
        f"{'exact' if is_equal else row['largest_difference']}{without}"
    )
    return (is_equal or not row["is_exact"]) and is_within


def _machine() -> dict[str, Any]:
    has_gpu = torch.cuda.is_available()
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name(0) if has_gpu else None,
        "kernel": platform.release(),
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache-dir", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--limit-s", type=float, default=240.0)
    parser.add_argument("--check", help="measure one network, and print its rows as JSON")
    parser.add_argument("--rivals", help="compare one network with other tools, likewise")
    parser.add_argument("--short", action="store_true", help="a short run, for compute-sanitizer")
    parser.add_argument("--ratios", type=float, nargs="+", default=list(_RATIOS))
    return parser.parse_args()


if __name__ == "__main__":
    main()
