"""What a process holds, against what its runtime counts: `swapnet` networks at several budgets.

    python benchmarks/held.py [--budgets 160MiB 77MiB] NETWORK[@SHAPE]

Every row is two processes of their own, one after the other: the first one traces the network, the
second finds the trace in the cache. The peak is that of private resident memory in six inferences,
over what the process held when it had imported everything and run a few small operators.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from swapnet_ros.one_heap import start_with_one_heap

_INFERENCES = 6
_MIB = 2**20
_CHILD = "--child"


def main() -> None:
    """Measure, and print a Markdown table."""
    options = _parse()
    if options.child is not None:
        print(_measure(options.network, options.budgets[0], options.child))
        return
    headers = ("budget", "counted", "activations", "tiles", "held, traced here", "held, cached")
    print(f"| {' | '.join(headers)} |")
    print("|---|---|---|---|---|---|")
    for budget in options.budgets:
        with tempfile.TemporaryDirectory() as cache:
            traced, cached = (_run_child(options.network, budget, cache) for _ in range(2))
        *facts, first = traced.split()
        print(f"| {' | '.join([budget, *facts, first, cached.split()[-1]])} |", flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network")
    parser.add_argument("--budgets", nargs="+", default=["160MiB", "117MiB", "77MiB", "52MiB"])
    parser.add_argument(_CHILD, help=argparse.SUPPRESS)
    return parser.parse_args()


def _run_child(network: str, budget: str, cache: str) -> str:
    command = [sys.executable, __file__, network, "--budgets", budget, _CHILD, cache]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout.strip()


def _measure(asked: str, budget: str, cache: str) -> str:
    """Return in MiB: counted, activations; tiles; and what was held."""
    import torch

    from swapnet_core import SwapRuntime, memory
    from swapnet_ros.cli.networks import named_network, parse_shape

    name, _, shape = asked.partition("@")
    network = named_network(name, parse_shape(shape) if shape else None)
    with torch.inference_mode():
        image = torch.zeros(1, 3, 32, 32)
        torch.nn.Linear(2700, 8)(torch.nn.Conv2d(3, 3, 3)(image).flatten(1))
    memory.return_free_memory()
    base_bytes = memory.anonymous_bytes()
    held_bytes = 0
    with SwapRuntime(budget=budget, cache_dir=Path(cache)) as runtime:
        model = runtime.load(name, network.build, network.inputs)
        for _ in range(_INFERENCES):
            memory.reset_peak()
            model(*network.inputs)
            held_bytes = max(held_bytes, memory.peak_anonymous_bytes() - base_bytes)
        plan, counted_bytes = model.plan, runtime.report().peak_bytes
    tiles = sum(block.tile is not None for block in plan.blocks)
    sizes = [f"{size / _MIB:.1f}" for size in (counted_bytes, plan.activation_bytes)]
    return " ".join([*sizes, str(tiles), f"{held_bytes / _MIB:.1f}"])


if __name__ == "__main__":
    start_with_one_heap()
    main()
