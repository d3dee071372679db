"""What a detection network needs with everything in memory, found by loading it once.

A program of its own (`python -m swapnet_ros.evaluation.network_demand yolov3`), so that the memory
is free again when the answer is there. It leaves the network's block file in the cache.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from swapnet_core import SwapNetError, SwapRuntime
from swapnet_ros.perception.models.catalogue import detection_network

_AMPLE_BUDGET = "64GiB"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkDemand:
    """A network's needs.

    Attributes:
        network: its name.
        is_random: whether its weights are random ones.
        demand_bytes: weights and peak activations.
        weight_bytes: weights.
    """

    network: str
    is_random: bool
    demand_bytes: int
    weight_bytes: int


def measure_demand(network: str, *, weights: Path | None, labels: Path | None) -> NetworkDemand:
    """Load a detection network with an ample budget and read off its demand.

    Args:
        network: name or path, as for `detection_network`.
        weights: weights file; None for random weights.
        labels: file of class names; None for the network's own.

    Raises:
        SwapNetError: the network, its weights or its labels cannot be used.
    """
    found = detection_network(network, weights=weights, labels=labels)
    with SwapRuntime(budget=_AMPLE_BUDGET) as runtime:
        model = runtime.load(found.name, found.build, found.example_inputs, weights=found.weights)
        stats = model.stats()
    return NetworkDemand(
        network=found.name,
        is_random=found.is_random,
        demand_bytes=stats.demand_bytes,
        weight_bytes=stats.weight_bytes,
    )


def main() -> int:
    """Print the demand as one line of JSON; exit code 2 where the network cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--labels", type=Path)
    arguments = parser.parse_args()
    try:
        demand = measure_demand(
            arguments.network, weights=arguments.weights, labels=arguments.labels
        )
    except SwapNetError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(asdict(demand)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
