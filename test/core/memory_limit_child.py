"""Runs ResNet-101 inside a memory cgroup; `test_memory_limit.py` starts it and reads its JSON.

Usage: memory_limit_child.py swapped|plain CGROUP WEIGHTS CACHE BUDGET_BYTES
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

_INFERENCES = 4


def main() -> None:
    mode, group, weights, cache, budget = sys.argv[1:]
    (Path(group) / "cgroup.procs").write_text(str(os.getpid()))
    # From here on everything is counted, so torch comes now: its memory belongs to the baseline.
    import torch
    import torchvision

    import swapnet_core

    with torch.inference_mode():
        tiny = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten(), torch.nn.Linear(7200, 8)
        )
        tiny(torch.zeros(1, 3, 32, 32))
    _limit_group(Path(group), int(budget))
    if mode == "plain":
        facts = _run_plain(torch, torchvision, weights)
    else:
        facts = _run_swapped(swapnet_core, torch, torchvision, (weights, cache, int(budget)))
    print(json.dumps(facts))


def _limit_group(group: Path, budget_bytes: int) -> None:
    """Set the group's limit to what it holds now, and the budget; swap does not help.

    Cached file pages do not count, unless they are mapped: the code of libraries.
    """
    lines = (group / "memory.stat").read_text().splitlines()
    stat = {key: int(value) for key, value in (line.split() for line in lines)}
    if (group / "memory.limit_in_bytes").exists():
        usage = int((group / "memory.usage_in_bytes").read_text())
        limit = usage - stat["cache"] + stat["mapped_file"] + budget_bytes
        names = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
    else:
        usage = int((group / "memory.current").read_text())
        limit = usage - stat["file"] + stat["file_mapped"] + budget_bytes
        names = ("memory.max",)
        if (group / "memory.swap.max").exists():
            (group / "memory.swap.max").write_text("0")
    for name in names:
        if (group / name).exists():
            (group / name).write_text(str(limit))


def _run_plain(torch, torchvision, weights: str) -> dict[str, object]:
    from safetensors.torch import load_file

    network = torchvision.models.resnet101(weights=None)
    network.load_state_dict(load_file(weights))
    with torch.inference_mode():
        network.eval()(_image(torch, 0))
    return {"survived": True}


def _run_swapped(swapnet_core, torch, torchvision, place) -> dict[str, object]:
    from swapnet_core import memory

    weights, cache, budget_bytes = place
    memory.return_free_memory()
    base = memory.anonymous_bytes()
    with swapnet_core.SwapRuntime(budget=budget_bytes, cache_dir=cache) as runtime:
        model = runtime.load(
            "resnet101",
            lambda: torchvision.models.resnet101(weights=None),
            (_image(torch, 0),),
            weights=weights,
        )
        memory.reset_peak()
        outputs = [model(_image(torch, seed)) for seed in range(_INFERENCES)]
        run_peak = memory.peak_anonymous_bytes() - base
        report, stats = runtime.report(), model.stats()
    return {
        "outputs": [output.flatten().tolist() for output in outputs],
        "budget_bytes": report.budget_bytes,
        "demand_bytes": stats.demand_bytes,
        "activation_bytes": stats.activation_bytes,
        "resident_bytes": stats.resident_bytes,
        "faults": stats.faults,
        "peak_bytes": report.peak_bytes,
        "run_peak_rss_bytes": run_peak,
    }


def _image(torch, seed: int):
    return torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(seed))


if __name__ == "__main__":
    main()
