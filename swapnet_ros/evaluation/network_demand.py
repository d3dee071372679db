"""What a network needs with everything in memory, and the least it can do with.

A program of its own (`python -m swapnet_ros.evaluation.network_demand yolov3`, or with
`--task fire_detection` for a task's own network), so that the memory
is free again when the answer is there. It leaves the network's block file in the cache.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from swapnet_core import BudgetTooSmallError, SwapNetError, SwapRuntime
from swapnet_ros.one_heap import start_with_one_heap
from swapnet_ros.perception.models.task_networks import open_task_network, task_names

_AMPLE_BUDGET = "64GiB"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkDemand:
    """A network's needs.

    Attributes:
        network: its name.
        is_random: whether its weights are random ones.
        demand_bytes: weights and peak activations.
        weight_bytes: weights.
        least_bytes: smallest budget that the planner accepts: activations and the largest layers.
    """

    network: str
    is_random: bool
    demand_bytes: int
    weight_bytes: int
    least_bytes: int


def measure_demand(
    network: str,
    *,
    weights: Path | None,
    labels: Path | None,
    task: str = "object_detection",
) -> NetworkDemand:
    """Load a network with an ample budget and read off its demand.

    Args:
        network: name or path, as the task takes it; empty for the task's own.
        weights: weights file; None for random weights.
        labels: file of class names; None for the task's or the network's own.
        task: what the network is for.

    Raises:
        SwapNetError: the network, its weights or its labels cannot be used.
    """
    found = open_task_network(task, network, weights=weights, labels=labels)
    with SwapRuntime(budget=_AMPLE_BUDGET) as runtime:
        model = runtime.load(found.name, found.build, found.example_inputs, weights=found.weights)
        stats = model.stats()
        least_bytes = _least_budget_bytes(runtime)
    return NetworkDemand(
        network=found.name,
        is_random=found.is_random,
        demand_bytes=stats.demand_bytes,
        weight_bytes=stats.weight_bytes,
        least_bytes=least_bytes,
    )


def _least_budget_bytes(runtime: SwapRuntime) -> int:
    """Ask for an impossible budget: the refusal names the smallest possible one."""
    try:
        runtime.set_budget(1)
    except BudgetTooSmallError as error:
        return error.needed_bytes
    return 1


def main() -> int:
    """Print the demand as one line of JSON; exit code 2 where the network cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", nargs="?", default="")
    parser.add_argument("--task", choices=task_names(), default="object_detection")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--labels", type=Path)
    arguments = parser.parse_args()
    try:
        demand = measure_demand(
            arguments.network,
            weights=arguments.weights,
            labels=arguments.labels,
            task=arguments.task,
        )
    except SwapNetError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(asdict(demand)))
    return 0


if __name__ == "__main__":
    start_with_one_heap()  # `drive` has done it, and this process has its environment
    sys.exit(main())
