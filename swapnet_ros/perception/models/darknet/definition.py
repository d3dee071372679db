"""From the sections of a cfg file to a network definition in which everything is resolved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from swapnet_ros.perception.errors import NetworkDefinitionError
from swapnet_ros.perception.models.darknet.cfg import Section, read_sections
from swapnet_ros.perception.models.darknet.keys import check_keys, known_sections
from swapnet_ros.perception.models.darknet.layers import (
    NETWORK_INPUT,
    AveragePool,
    Convolution,
    Dropout,
    Layer,
    MaxPool,
    NetworkDefinition,
    Route,
    Shape,
    Shortcut,
    Upsample,
    YoloHead,
)
from swapnet_ros.perception.models.darknet.modules import ACTIVATIONS


def read_definition(path: Path, *, input_size: tuple[int, int] | None = None) -> NetworkDefinition:
    """Read a Darknet cfg file and work out every layer's shape.

    Args:
        path: the cfg file.
        input_size: height and width in pixels that replace those of the net section.

    Returns:
        The network's definition.

    Raises:
        NetworkDefinitionError: the file cannot be read; a section is unknown; a key is unknown, has
            a bad value, or asks for what is not supported; the layers do not fit together.
    """
    net, *sections = read_sections(path)
    check_keys(net)
    shape = _input_shape(net, input_size)
    layers: list[Layer] = []
    for section in sections:
        if section.name not in _READERS:
            names = ", ".join(known_sections())
            raise section.error(f"this kind of section is not supported; supported are: {names}")
        check_keys(section)
        layers.append(_READERS[section.name](_Position(section, shape, tuple(layers))))
    if not layers:
        raise NetworkDefinitionError("has no layers", path=path)
    return NetworkDefinition(
        path=path,
        input_shape=shape,
        is_letterboxed=net.integer("letter_box", 0) != 0,
        layers=tuple(layers),
    )


def _input_shape(net: Section, input_size: tuple[int, int] | None) -> Shape:
    shape = Shape(
        channels=net.integer("channels", 3, minimum=1),
        height=net.integer("height", minimum=1),
        width=net.integer("width", minimum=1),
    )
    if input_size is None:
        return shape
    return replace(shape, height=input_size[0], width=input_size[1])


@dataclass(frozen=True, slots=True)
class _Position:
    """A section together with what stands before it."""

    section: Section
    input_shape: Shape
    layers: tuple[Layer, ...]

    @property
    def index(self) -> int:
        return len(self.layers)

    def shape_of(self, index: int) -> Shape:
        """Shape of an earlier layer's output, or of the image."""
        if index == NETWORK_INPUT:
            return self.input_shape
        layer = self.layers[index]
        if isinstance(layer, YoloHead):
            raise self.section.error(
                f"reads layer {index}, which is a [yolo] section; put a [route] before this one"
            )
        return layer.shape

    def previous(self) -> tuple[tuple[int], Shape]:
        """Index and shape of the output right before this section."""
        index = self.index - 1 if self.layers else NETWORK_INPUT
        return (index,), self.shape_of(index)

    def referenced(self, key: str) -> tuple[int, ...]:
        """Absolute indices of the layers that a key names, absolutely or relative to here."""
        resolved = []
        for number in self.section.integers(key):
            index = number if number >= 0 else self.index + number
            if not 0 <= index < self.index:
                message = f"{key} names layer {number}, but this is layer {self.index}"
                raise self.section.error(message, key=key)
            resolved.append(index)
        return tuple(resolved)

    def activation(self, default: str) -> str:
        """The section's activation, checked against the ones there are."""
        name = self.section.text("activation", default)
        if name not in ACTIVATIONS:
            known = ", ".join(sorted(ACTIVATIONS))
            message = f"activation={name} is not supported; supported are: {known}"
            raise self.section.error(message, key="activation")
        return name

    def stride(self) -> tuple[int, int]:
        """Steps in y and x."""
        both = self.section.integer("stride", 1, minimum=1)
        return (
            self.section.integer("stride_y", both, minimum=1),
            self.section.integer("stride_x", both, minimum=1),
        )

    def windows(
        self, shape: Shape, channels: int, *, kernel: int, stride: tuple[int, int], padding: int
    ) -> Shape:
        """Shape after sliding a window; `padding` is the sum of both sides."""
        height = (shape.height + padding - kernel) // stride[0] + 1
        width = (shape.width + padding - kernel) // stride[1] + 1
        if min(height, width) < 1:
            raise self.section.error(f"a window of {kernel} does not fit into {shape}")
        return Shape(channels=channels, height=height, width=width)


def _convolutional(at: _Position) -> Layer:
    section = at.section
    inputs, shape = at.previous()
    filters = section.integer("filters", 1, minimum=1)
    kernel = section.integer("size", 1, minimum=1)
    groups = section.integer("groups", 1, minimum=1)
    if shape.channels % groups or filters % groups:
        both = f"{shape.channels} channels and {filters} filters"
        raise section.error(f"groups={groups} does not divide both {both}", key="groups")
    is_padded = section.integer("pad", 0) != 0
    padding = kernel // 2 if is_padded else section.integer("padding", 0, minimum=0)
    stride = at.stride()
    return Convolution(
        index=at.index,
        line=section.line,
        inputs=inputs,
        shape=at.windows(shape, filters, kernel=kernel, stride=stride, padding=2 * padding),
        in_channels=shape.channels,
        kernel=kernel,
        stride=stride,
        padding=padding,
        groups=groups,
        has_norm=section.integer("batch_normalize", 0) != 0,
        activation=at.activation("logistic"),
    )


def _maxpool(at: _Position) -> Layer:
    section = at.section
    inputs, shape = at.previous()
    stride = at.stride()
    kernel = section.integer("size", section.integer("stride", 1), minimum=1)
    padding = section.integer("padding", kernel - 1, minimum=0)
    return MaxPool(
        index=at.index,
        line=section.line,
        inputs=inputs,
        shape=at.windows(shape, shape.channels, kernel=kernel, stride=stride, padding=padding),
        kernel=kernel,
        stride=stride,
        padding=padding,
    )


def _avgpool(at: _Position) -> Layer:
    inputs, shape = at.previous()
    return AveragePool(
        index=at.index, line=at.section.line, inputs=inputs, shape=replace(shape, height=1, width=1)
    )


def _shortcut(at: _Position) -> Layer:
    inputs, shape = at.previous()
    others = at.referenced("from")
    for other in others:
        _check_same_image(at, at.shape_of(other), shape, key="from")
    return Shortcut(
        index=at.index,
        line=at.section.line,
        inputs=inputs + others,
        shape=shape,
        activation=at.activation("linear"),
    )


def _route(at: _Position) -> Layer:
    section = at.section
    inputs = at.referenced("layers")
    shapes = [at.shape_of(index) for index in inputs]
    groups = section.integer("groups", 1, minimum=1)
    group_id = section.integer("group_id", 0, minimum=0)
    if group_id >= groups:
        raise section.error(f"group_id={group_id} is not below groups={groups}", key="group_id")
    for shape in shapes:
        _check_same_image(at, shape, shapes[0], key="layers")
        if shape.channels % groups:
            raise section.error(f"groups={groups} does not divide {shape}", key="groups")
    channels = sum(shape.channels // groups for shape in shapes)
    return Route(
        index=at.index,
        line=section.line,
        inputs=inputs,
        shape=replace(shapes[0], channels=channels),
        groups=groups,
        group_id=group_id,
    )


def _upsample(at: _Position) -> Layer:
    inputs, shape = at.previous()
    factor = at.section.integer("stride", 2, minimum=1)
    return Upsample(
        index=at.index,
        line=at.section.line,
        inputs=inputs,
        shape=replace(shape, height=shape.height * factor, width=shape.width * factor),
        factor=factor,
    )


def _dropout(at: _Position) -> Layer:
    inputs, shape = at.previous()
    return Dropout(index=at.index, line=at.section.line, inputs=inputs, shape=shape)


def _yolo(at: _Position) -> Layer:
    section = at.section
    inputs, shape = at.previous()
    anchors = _anchors(section)
    classes = section.integer("classes", 20, minimum=1)
    needed = len(anchors) * (5 + classes)
    if shape.channels != needed:
        raise section.error(
            f"{len(anchors)} anchors and classes={classes} need filters={needed} in the "
            f"[convolutional] section before, which has {shape.channels}"
        )
    return YoloHead(
        index=at.index,
        line=section.line,
        inputs=inputs,
        shape=shape,
        anchors=anchors,
        classes=classes,
        scale_x_y=section.number("scale_x_y", 1.0),
        has_new_coords=section.integer("new_coords", 0) != 0,
    )


def _anchors(section: Section) -> tuple[tuple[float, float], ...]:
    values = section.numbers("anchors")
    total = section.integer("num", 1, minimum=1)
    if len(values) < 2 * total:
        message = f"num={total} needs {2 * total} numbers, but there are {len(values)}"
        raise section.error(message, key="anchors")
    pairs = list(zip(values[::2], values[1::2], strict=False))[:total]
    mask = section.integers("mask") if "mask" in section.options else tuple(range(total))
    if not all(0 <= number < total for number in mask):
        raise section.error(f"mask names anchors outside of 0..{total - 1}", key="mask")
    return tuple(pairs[number] for number in mask)


def _check_same_image(at: _Position, shape: Shape, expected: Shape, *, key: str) -> None:
    if (shape.height, shape.width) == (expected.height, expected.width):
        return
    raise at.section.error(
        f"joins outputs of {shape} and {expected}, whose heights and widths differ; for most "
        "networks the input's height and width must be multiples of 32",
        key=key,
    )


_READERS: dict[str, Callable[[_Position], Layer]] = {
    "convolutional": _convolutional,
    "maxpool": _maxpool,
    "avgpool": _avgpool,
    "shortcut": _shortcut,
    "route": _route,
    "upsample": _upsample,
    "dropout": _dropout,
    "yolo": _yolo,
}
