"""Facts about the layers of a Darknet network, with every shape and index resolved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NETWORK_INPUT = -1
"""Stands for the image in `Layer.inputs`, where layers are named by their index from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What one layer puts out for one image."""

    channels: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One section after `[net]`.

    Attributes:
        index: position among the layers, from 0, as `route` and `shortcut` count them.
        line: line number of the section in the cfg file.
        inputs: indices of the layers it reads, in order; `NETWORK_INPUT` is the image.
        shape: what it puts out.
    """

    index: int
    line: int
    inputs: tuple[int, ...]
    shape: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution(Layer):
    """A convolution, then batch normalisation where `has_norm`, then its activation."""

    in_channels: int
    kernel: int
    stride: tuple[int, int]
    padding: int
    groups: int
    has_norm: bool
    activation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxPool(Layer):
    """Largest value of each window; `padding` is that of both sides, the left one rounded down."""

    kernel: int
    stride: tuple[int, int]
    padding: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragePool(Layer):
    """Mean over the whole image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortcut(Layer):
    """Sum of the inputs over the channels of the first, then an activation."""

    activation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Layer):
    """One group of each input's channels, one after the other."""

    groups: int
    group_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Upsample(Layer):
    """Every pixel `factor` times in both directions."""

    factor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropout(Layer):
    """Nothing, outside of training; its place in the count of layers stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class YoloHead(Layer):
    """A detection head: for each cell and anchor x, y, w, h, objectness and the classes' logits.

    Attributes:
        anchors: width and height in network pixels of the anchors that this head uses.
        classes: number of classes.
        scale_x_y: how far a cell's centre may reach over the cell's borders; 1 is exactly to them.
        has_new_coords: coordinates as in Scaled-YOLOv4: the head's input went through a logistic
            activation, and sizes are squares instead of exponentials.
    """

    anchors: tuple[tuple[float, float], ...]
    classes: int
    scale_x_y: float
    has_new_coords: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkDefinition:
    """A whole Darknet network.

    Attributes:
        path: the cfg file.
        input_shape: of one image.
        is_letterboxed: images keep their proportions (`letter_box=1` in the net section).
        layers: all layers in order.
    """

    path: Path
    input_shape: Shape
    is_letterboxed: bool
    layers: tuple[Layer, ...]

    @property
    def heads(self) -> tuple[YoloHead, ...]:
        """The detection heads in order."""
        return tuple(layer for layer in self.layers if isinstance(layer, YoloHead))

    @property
    def convolutions(self) -> tuple[Convolution, ...]:
        """The layers that hold weights, in order."""
        return tuple(layer for layer in self.layers if isinstance(layer, Convolution))
