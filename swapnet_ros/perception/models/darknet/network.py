"""A Darknet network as a torch module that holds no output longer than it is needed."""

from __future__ import annotations

from torch import Tensor, nn

from swapnet_ros.perception.models.darknet.layers import NETWORK_INPUT, NetworkDefinition, YoloHead
from swapnet_ros.perception.models.darknet.modules import build_module


class DarknetNetwork(nn.Module):
    """A network in eval mode, built from its definition; weights are torch's initial ones.

    State-dict names follow the count of layers in the cfg file: `layers.12.conv.weight`,
    `layers.12.norm.running_var`.

    Threads: any thread may call it; nothing in it changes in `forward`.
    """

    def __init__(self, definition: NetworkDefinition) -> None:
        super().__init__()
        self.layers = nn.ModuleList(build_module(layer) for layer in definition.layers)
        self._inputs = tuple(layer.inputs for layer in definition.layers)
        self._outputs = _output_indices(definition)
        self._released = _released_after(self._inputs, self._outputs)
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Run all layers.

        Args:
            image: float32 [B, channels, height, width], RGB in 0..1.

        Returns:
            What each `[yolo]` section is given, in their order: float32
            [B, anchors * (5 + classes), H, W], before any decoding. A network without such sections
            gives its last output alone.
        """
        held = {NETWORK_INPUT: image}
        del image
        for index, layer in enumerate(self.layers):
            held[index] = layer(*[held[source] for source in self._inputs[index]])
            for source in self._released[index]:
                del held[source]
        return tuple(held[index] for index in self._outputs)

    def extra_repr(self) -> str:
        """Which layer reads which: tells networks of equal layers apart."""
        return f"inputs={self._inputs}, outputs={self._outputs}"


def _output_indices(definition: NetworkDefinition) -> tuple[int, ...]:
    heads = tuple(layer.index for layer in definition.layers if isinstance(layer, YoloHead))
    return heads or (definition.layers[-1].index,)


def _released_after(
    inputs: tuple[tuple[int, ...], ...], outputs: tuple[int, ...]
) -> tuple[tuple[int, ...], ...]:
    """For each layer, the outputs that nobody reads after it has run."""
    last_use = {NETWORK_INPUT: 0}
    for index, sources in enumerate(inputs):
        last_use[index] = index
        for source in sources:
            last_use[source] = index
    released: list[list[int]] = [[] for _ in inputs]
    for source, index in last_use.items():
        if source not in outputs:
            released[index].append(source)
    return tuple(tuple(sources) for sources in released)
