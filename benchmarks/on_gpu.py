"""What issue 6 has to show on a GPU: exact outputs, memory, overlap, latency, other tools.

    python benchmarks/on_gpu.py --cache-dir DIR [--json FILE] [--device cuda] [--limit-s 280]

Every row is a process of its own. What there was no time for is named in the result.
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
from gpu_parts.rivals import compare

from swapnet_ros.cli.networks import named_network, parse_shape

_NETWORKS = (
    "resnet101",
    "vgg19",
    "yolov3",
    "fcn_resnet101@1x3x224x224",
    "ufld_resnet18",
    "densenet161",
)
_RATIOS = (2.32, 5.81)
_RIVALRIES = ("resnet101", "vgg19")
_ROW_LIMIT_S = 60.0


def main() -> None:
    options = _parse()
    use_deterministic_algorithms()
    if options.check or options.rivals:
        name, _, shape = (options.check or options.rivals).partition("@")
        network = named_network(name, parse_shape(shape) if shape else None)
        figures = (
            measure(network, options.ratio, options.device, options.cache_dir)
            if options.check
            else compare(network, options.device, options.cache_dir)
        )
        print(json.dumps(figures))
        sys.exit(0 if figures.get("largest_difference", 0.0) == 0.0 or not options.check else 1)
    _measure_all(options)


def _measure_all(options: argparse.Namespace) -> None:
    begin_s = time.monotonic()
    result: dict[str, Any] = {"machine": _machine(), "device": options.device, "rows": []}
    jobs = [(["--check", n, "--ratio", str(r)], n, r) for r in _RATIOS for n in options.networks]
    jobs += [(["--rivals", name], name, None) for name in _RIVALRIES if name in options.networks]
    is_right = True
    for arguments, name, ratio in jobs:
        left_s = options.limit_s - (time.monotonic() - begin_s)
        figures = _run(arguments, options, left_s)
        row = {"network": name, "ratio": ratio, **figures}
        result["rows"].append(row)
        is_right &= _say(row)
        if options.json is not None:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(result, indent=2))
    sys.exit(0 if is_right else 1)


def _run(arguments: list[str], options: argparse.Namespace, left_s: float) -> dict[str, Any]:
    """Run one row in its own process."""
    if left_s < _ROW_LIMIT_S / 4:
        return {"not_run": "there was no time left"}
    common = ["--device", options.device, "--cache-dir", str(options.cache_dir)]
    command = [sys.executable, __file__, *arguments, *common]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=min(left_s, _ROW_LIMIT_S)
        )
    except subprocess.TimeoutExpired:
        return {"not_run": "it took longer than its time"}
    try:
        figures: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return {"error": done.stderr[-2000:]}
    return figures


def _say(row: dict[str, Any]) -> bool:
    """Print a row; False where outputs differ that should not, or memory passed the budget."""
    name = f"{row['network']} {row['ratio'] or 'rivals'}"
    if "swapped_s" not in row:
        print(name, json.dumps({key: row[key] for key in row if key not in ("network", "ratio")}))
        return "error" not in row or "needed_bytes" in row
    is_exact = row["largest_difference"] == 0.0 or not row["is_exact"]
    is_within = row["peak_bytes"] <= row["budget_bytes"]
    print(
        f"{name}: plain {row['plain_s'] * 1e3:.2f} ms, swapped {row['swapped_s'] * 1e3:.2f} ms, "
        f"pairs {row['ratio_of_pairs']:.3f}, bound {row['bound_s'] * 1e3:.2f} ms, "
        f"peak {row['peak_bytes'] / 2**20:.1f} of {row['budget_bytes'] / 2**20:.1f} MiB, "
        f"{'exact' if row['largest_difference'] == 0.0 else row['largest_difference']}"
    )
    return is_exact and is_within


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
    parser.add_argument("networks", nargs="*", default=list(_NETWORKS))
    parser.add_argument("--cache-dir", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--limit-s", type=float, default=280.0)
    parser.add_argument("--check", help="measure one network, and print its figures as JSON")
    parser.add_argument("--rivals", help="compare one network with other tools, likewise")
    parser.add_argument("--ratio", type=float, default=2.32)
    return parser.parse_args()


if __name__ == "__main__":
    main()
