"""Runs ResNet-101 inside a memory cgroup; `test_memory_limit.py` starts it and reads its JSON.

Usage: memory_limit_child.py swapped|plain CGROUP WEIGHTS CACHE BUDGET_BYTES
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

_LIMIT_NAMES = ("memory.limit_in_bytes", "memory.max")
_ANONYMOUS_KEYS = ("rss", "anon")
_MAPPED_KEYS = ("mapped_file", "file_mapped")
_INFERENCES = 4


def main() -> None:
    mode, group, weights, cache, budget = sys.argv[1:]
    (Path(group) / "cgroup.procs").write_text(str(os.getpid()))
    import torch
    import torchvision

    import swapnet_core

    # The libraries' own memory (thread pools, oneDNN's kernels) belongs to the baseline.
    with torch.inference_mode():
        tiny = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten(), torch.nn.LazyLinear(8))
        tiny(torch.zeros(1, 3, 32, 32))
    _limit_group(Path(group), int(budget))
    if mode == "plain":
        _run_plain(torch, torchvision, weights)
    else:
        _run_swapped(torch, torchvision, Path(weights), cache, int(budget))


def _limit_group(group: Path, budget_bytes: int) -> None:
    """Set the group's limit to what the process holds now, and the budget."""
    lines = (group / "memory.stat").read_text().splitlines()
    stat = {key: int(value) for key, value in (line.split() for line in lines)}
    held = sum(stat.get(key, 0) for key in (*_ANONYMOUS_KEYS, *_MAPPED_KEYS))
    for name in _LIMIT_NAMES:
        if (group / name).exists():
            (group / name).write_text(str(held + budget_bytes + int(os.environ.get("SLACK", 0))))


def _run_plain(torch, torchvision, weights: str) -> None:
    network = torchvision.models.resnet101(weights=None)
    from safetensors.torch import load_file

    network.load_state_dict(load_file(weights))
    with torch.inference_mode():
        network.eval()(_image(torch, 0))
    print(json.dumps({"survived": True}))


def _run_swapped(torch, torchvision, weights: Path, cache: str, budget_bytes: int) -> None:
    from swapnet_core import SwapRuntime, memory

    memory.return_free_memory()
    base = memory.anonymous_bytes()
    memory.reset_peak()
    with SwapRuntime(budget=budget_bytes, cache_dir=cache) as runtime:
        model = runtime.load(
            "resnet101",
            lambda: torchvision.models.resnet101(weights=None),
            (_image(torch, 0),),
            weights=weights,
        )
        load_peak = memory.peak_anonymous_bytes() - base
        memory.reset_peak()
        outputs = [model(_image(torch, seed)) for seed in range(_INFERENCES)]
        run_peak = memory.peak_anonymous_bytes() - base
        report, stats = runtime.report(), model.stats()
        plan = model.plan
    facts = {
        "outputs": [output.flatten().tolist() for output in outputs],
        "budget_bytes": report.budget_bytes,
        "peak_bytes": report.peak_bytes,
        "load_peak_rss_bytes": load_peak,
        "run_peak_rss_bytes": run_peak,
        "activation_bytes": stats.activation_bytes,
        "region_bytes": plan.region_bytes,
        "fixed_bytes": plan.fixed_bytes,
        "faults": stats.faults,
        "after_close_bytes": memory.anonymous_bytes() - base,
    }
    print(json.dumps(facts))


def _image(torch, seed: int):
    return torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(seed))


if __name__ == "__main__":
    main()
