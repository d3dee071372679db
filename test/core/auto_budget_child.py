"""Runs a network in a memory group while a neighbour fills it; prints JSON.

Usage: auto_budget_child.py CGROUP CACHE
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

_LIMIT_BEYOND_BASE = 600 * 2**20
_NEIGHBOUR_BYTES = 330 * 2**20
_LAYERS, _WIDTH = 40, 1024
_PATIENCE_S = 60.0


def main() -> None:
    group, cache = map(Path, sys.argv[1:])
    (group / "cgroup.procs").write_text(str(os.getpid()))
    # From here on everything is counted, so torch comes now: its memory belongs to the baseline.
    import torch

    from swapnet_core import SwapRuntime, auto_budget, margin
    from swapnet_core.planner import smallest_budget_bytes
    from swapnet_core.profiling import profile_network
    from swapnet_core.system_memory import read_memory_bounds

    auto_budget.POLL_S, margin.CALM_S = 0.05, 0.5
    network, image = _network(torch), torch.rand(1, _WIDTH)
    with torch.inference_mode():
        expected = network(image)
    smallest = smallest_budget_bytes(profile_network(network, (image,), cache_dir=cache))
    _limit(group)
    bound = read_memory_bounds()[1]
    facts = {"source": bound.source, "smallest_bytes": smallest}
    facts["margin_bytes"] = margin.margin_of(bound.limit_bytes)
    outputs = []
    with SwapRuntime(budget="auto", cache_dir=cache) as runtime:
        facts["first_bytes"] = runtime.report().budget_bytes
        model = runtime.load("network", network, (image,))
        del network
        outputs.append(model(image))
        neighbour = b"x" * _NEIGHBOUR_BYTES
        _wait(lambda: runtime.report().budget_bytes < facts["first_bytes"] - 100 * 2**20)
        time.sleep(10 * auto_budget.POLL_S)
        outputs.append(model(image))
        facts["shrunk_bytes"] = runtime.report().budget_bytes
        facts["shrunk_free_bytes"] = read_memory_bounds()[1].free_bytes
        del neighbour
        _wait(lambda: runtime.report().budget_bytes > facts["shrunk_bytes"] + 50 * 2**20)
        outputs.append(model(image))
        facts["regrown_bytes"] = runtime.report().budget_bytes
    facts["is_exact"] = all(torch.equal(output, expected) for output in outputs)
    print(json.dumps(facts))


def _network(torch):
    torch.manual_seed(0)
    layers = [torch.nn.Linear(_WIDTH, _WIDTH) for _ in range(_LAYERS)]
    return torch.nn.Sequential(*layers).eval()


def _limit(group: Path) -> None:
    """Let the group hold what it holds now, and somewhat more."""
    is_v1 = (group / "memory.limit_in_bytes").exists()
    usage = group / ("memory.usage_in_bytes" if is_v1 else "memory.current")
    limit = group / ("memory.limit_in_bytes" if is_v1 else "memory.max")
    limit.write_text(str(int(usage.read_text()) + _LIMIT_BEYOND_BASE))


def _wait(is_so: Callable[[], bool]) -> None:
    end_s = time.monotonic() + _PATIENCE_S
    while not is_so():
        if time.monotonic() > end_s:
            raise TimeoutError("the budget did not follow")
        time.sleep(0.02)


if __name__ == "__main__":
    main()
