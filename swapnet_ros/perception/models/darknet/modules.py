"""One module for each kind of Darknet layer, with Darknet's meaning in inference.

Every module takes its inputs as positional tensors [B, C, H, W] in the order of `Layer.inputs`, and
activations overwrite the fresh tensor that they are given: one activation less in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch

import torch
from torch import Tensor, nn
from torch.nn import functional

from swapnet_ros.perception.models.darknet import layers

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "leaky": lambda: nn.LeakyReLU(0.1, inplace=True),
    "relu": lambda: nn.ReLU(inplace=True),
    "relu6": lambda: nn.ReLU6(inplace=True),
    "mish": lambda: nn.Mish(inplace=True),
    "swish": lambda: nn.SiLU(inplace=True),
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
}

BATCH_NORM_EPSILON = 1e-5
"""Darknet divides by sqrt(variance + .00001f): AlexeyAB/darknet, src/blas.c `normalize_cpu`."""


class ConvolutionalLayer(nn.Module):
    """Convolution, batch normalisation where the section asks for it, activation."""

    def __init__(self, layer: layers.Convolution) -> None:
        super().__init__()
        filters = layer.shape.channels
        self.conv = nn.Conv2d(
            layer.in_channels,
            filters,
            layer.kernel,
            stride=layer.stride,
            padding=layer.padding,
            groups=layer.groups,
            bias=not layer.has_norm,
        )
        self.norm: nn.Module = nn.Identity()
        if layer.has_norm:
            self.norm = nn.BatchNorm2d(filters, eps=BATCH_NORM_EPSILON)
        self.activation = ACTIVATIONS[layer.activation]()

    def forward(self, image: Tensor) -> Tensor:
        """[B, C, H, W] to [B, filters, H', W']."""
        output: Tensor = self.activation(self.norm(self.conv(image)))
        return output


class MaxPoolLayer(nn.Module):
    """Largest value of each window; what lies outside of the image never wins."""

    def __init__(self, layer: layers.MaxPool) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = layer.kernel, layer.stride, layer.padding
        self.before = layer.padding // 2
        # torch pads both sides alike and by at most half a window; Darknet does neither.
        self.is_symmetric = 2 * self.before == layer.padding <= layer.kernel
        self.pool = nn.MaxPool2d(
            layer.kernel, layer.stride, padding=self.before if self.is_symmetric else 0
        )

    def forward(self, image: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C, H', W']."""
        if not self.is_symmetric:
            top, bottom = self._borders(image.shape[2], axis=0)
            left, right = self._borders(image.shape[3], axis=1)
            if top or bottom or left or right:
                borders = (left, right, top, bottom)
                image = functional.pad(image, borders, value=float("-inf"))
        output: Tensor = self.pool(image)
        return output

    def extra_repr(self) -> str:
        """Darknet's padding, which the pool inside does not show."""
        return f"padding={self.padding}"

    def _borders(self, size: int, *, axis: int) -> tuple[int, int]:
        """Pixels before and after that the windows reach; none where the stride skips them."""
        windows = (size + self.padding - self.kernel) // self.stride[axis] + 1
        reached = (windows - 1) * self.stride[axis] + self.kernel - self.before
        return self.before, max(0, reached - size)


class ShortcutLayer(nn.Module):
    """Adds to the first input the channels that the others share with it."""

    def __init__(self, layer: layers.Shortcut) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[layer.activation]()

    def forward(self, image: Tensor, *others: Tensor) -> Tensor:
        """[B, C, H, W] and others of the same height and width to [B, C, H, W]."""
        channels = image.shape[1]
        total = image
        for other in others:
            if other.shape[1] >= channels:
                total = total + other[:, :channels]
            else:
                total = total.clone() if total is image else total
                total[:, : other.shape[1]] += other
        output: Tensor = self.activation(total)
        return output


class RouteLayer(nn.Module):
    """Joins one group of each input's channels."""

    def __init__(self, layer: layers.Route) -> None:
        super().__init__()
        self.groups = layer.groups
        self.group_id = layer.group_id

    def forward(self, *images: Tensor) -> Tensor:
        """[B, Ci, H, W] each to [B, sum(Ci) / groups, H, W]."""
        parts = [image.chunk(self.groups, dim=1)[self.group_id] for image in images]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def extra_repr(self) -> str:
        """Which of how many groups."""
        return f"group_id={self.group_id}, groups={self.groups}"


@singledispatch
def build_module(layer: layers.Layer) -> nn.Module:
    """The module that does what a layer says.

    Raises:
        TypeError: there is no module for this kind of layer.
    """
    raise TypeError(f"no module for {type(layer).__name__}")


build_module.register(layers.Convolution, ConvolutionalLayer)
build_module.register(layers.MaxPool, MaxPoolLayer)
build_module.register(layers.Shortcut, ShortcutLayer)
build_module.register(layers.Route, RouteLayer)


@build_module.register
def _(layer: layers.AveragePool) -> nn.Module:
    return nn.AdaptiveAvgPool2d(1)


@build_module.register
def _(layer: layers.Upsample) -> nn.Module:
    return nn.Upsample(scale_factor=layer.factor, mode="nearest")


@build_module.register(layers.Dropout)
@build_module.register(layers.YoloHead)
def _(layer: layers.Layer) -> nn.Module:
    return nn.Identity()
