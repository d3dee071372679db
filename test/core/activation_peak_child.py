"""Trace a network whose activations are known, in a process without a past; print the peak."""

import torch
from torch import nn

from swapnet_core.assembly import Assembly
from swapnet_core.traced_call import InMemoryLender, TracedCall
from swapnet_core.tracer import trace

_MIB = 2**20


class Wide(nn.Module):
    """Makes 64 MiB out of 1 MiB."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.gain).repeat(64).sum()


class Unset:
    def access(self, weight: int) -> torch.Tensor:
        raise AssertionError(f"weight {weight} is accessed outside of a trace")


def main() -> None:
    image = torch.ones(_MIB // 4)
    network = Wide().eval()
    assembly = Assembly(network)
    assembly.attach(Unset())

    def run() -> object:
        with torch.inference_mode():
            return network(image)

    call = TracedCall(
        compute=lambda run: run(),
        run=run,
        set_source=lambda source: setattr(assembly, "source", source),
        weights=assembly.weights,
        tile_units_rows=assembly.tile_units_rows,
        lender=InMemoryLender(assembly.tensors),
        buffer_bytes=0,
    )
    print(trace(call).activation_bytes)


if __name__ == "__main__":
    main()
