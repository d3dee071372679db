"""What a network holds, by where the heap's free end begins: see [Note: the first place].

    python benchmarks/first_place.py ufld_resnet18 fcn_resnet101@1x3x520x520

In MiB over what is held before the inference, the most of two inferences each. *Apart*: every
tensor in pages of its own, which is what is live.
"""

from __future__ import annotations

import sys
from typing import Any

import torch

from swapnet_core import memory
from swapnet_core.heap_plugs import HeapPlugs
from swapnet_ros.cli.networks import named_network, parse_shape
from swapnet_ros.one_heap import start_with_one_heap

_PLACES_BYTES = (0, 16, 32, 48)
_MIB = 2**20
_APART = memory.tensors_out_of_heap


def main() -> None:
    """Measure, and print a Markdown table."""
    memory.keep_activations_in_heap()
    memory.keep_at_heap_end(512 * _MIB)
    print("| network | apart |", " | ".join(f"at {place}" for place in _PLACES_BYTES), "|")
    print("|---|---|---|---|---|---|")
    for asked in sys.argv[1:] or ["ufld_resnet18"]:
        name, _, shape = asked.partition("@")
        network = named_network(name, parse_shape(shape) if shape else None)
        with _APART():
            module = network.build()
        _measure(module, network.inputs, None)  # makes kernels, which stay
        apart_bytes = _measure(module, network.inputs, None)
        held = [_measure(module, network.inputs, place) for place in _PLACES_BYTES]
        figures = " | ".join(f"{size / _MIB:.1f}" for size in (apart_bytes, *held))
        print(f"| {asked} | {figures} |", flush=True)


def _measure(module: torch.nn.Module, inputs: tuple[Any, ...], place_bytes: int | None) -> int:
    """Return the most that two inferences hold; in pages of their own without a place."""
    most_bytes = 0
    for _ in range(2):
        plugs = HeapPlugs(place_bytes or 0)
        plugs.renew()
        before_bytes = memory.anonymous_bytes()
        memory.reset_peak()
        where = memory.large_tensors_in_heap if place_bytes is not None else _APART
        with where(), torch.inference_mode():
            module(*inputs)
        most_bytes = max(most_bytes, memory.peak_anonymous_bytes() - before_bytes)
        plugs.remove()
    return most_bytes


if __name__ == "__main__":
    start_with_one_heap()
    main()
