"""Ultra Fast Lane Detection: lanes as one choice of a column per image row.

Source:
    Qin, Wang, Li: Ultra Fast Structure-aware Deep Lane Detection, ECCV 2020. Layers and parameter
    names are those of its reference implementation (cfzd/Ultra-Fast-Lane-Detection,
    model/model.py), so that its checkpoints fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

from swapnet_core.sources import Weights, open_weights
from swapnet_ros.perception.errors import InputSizeError
from swapnet_ros.perception.models.checkpoints import check_checkpoint
from swapnet_ros.perception.models.image_input import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ImageInput,
    InputChanges,
)
from swapnet_ros.perception.models.lanes import LaneNetwork
from swapnet_ros.perception.models.network import example_input
from swapnet_ros.perception.models.row_anchors import RowAnchorDecoder
from swapnet_ros.perception.models.seeded import SeededWeights

INPUT_HEIGHT, INPUT_WIDTH = 288, 800
"""Pixels; the first fully connected layer takes images of this size only."""

_FEATURES = 8 * (INPUT_HEIGHT // 32) * (INPUT_WIDTH // 32)
_HIDDEN = 2048
_BRANCH_GAIN = 0.3
_AUXILIARY = "aux_"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneGrid:
    """Where a network looks for lanes.

    Attributes:
        columns: cells across the image; one more choice stands for "no lane in this row".
        row_anchors: rows of the network's input in which each lane is looked for, from far to near.
        lanes: how many are told apart.
    """

    columns: int
    row_anchors: tuple[int, ...]
    lanes: int

    @property
    def rows(self) -> int:
        """How many rows each lane is looked for in."""
        return len(self.row_anchors)

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Of the logits of one image: choices, rows, lanes."""
        return (self.columns + 1, self.rows, self.lanes)


TUSIMPLE_GRID = LaneGrid(columns=100, row_anchors=tuple(range(64, 288, 4)), lanes=4)
CULANE_GRID = LaneGrid(
    columns=200,
    row_anchors=(
        *(121, 131, 141, 150, 160, 170, 180, 189, 199),
        *(209, 219, 228, 238, 248, 258, 267, 277, 287),
    ),
    lanes=4,
)

_GRIDS = {"": TUSIMPLE_GRID, "_culane": CULANE_GRID}
_TRUNKS = {"resnet18": models.resnet18, "resnet34": models.resnet34}


class LaneTrunk(nn.Module):
    """A residual network of torchvision without its classifier."""

    def __init__(self, build: Callable[..., models.ResNet]) -> None:
        super().__init__()
        network = build(weights=None)
        self.conv1 = network.conv1
        self.bn1 = network.bn1
        self.relu = network.relu
        self.maxpool = network.maxpool
        self.layer1 = network.layer1
        self.layer2 = network.layer2
        self.layer3 = network.layer3
        self.layer4 = network.layer4

    def forward(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] to features [B, 512, H / 32, W / 32]."""
        stem = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(stem))))
        return features


class RowAnchorNetwork(nn.Module):
    """The network without the auxiliary segmentation head, which serves in training only.

    Args:
        build_trunk: a function of torchvision that builds a residual network of basic blocks.
        grid: where to look for lanes.
    """

    def __init__(self, build_trunk: Callable[..., models.ResNet], grid: LaneGrid) -> None:
        super().__init__()
        self.grid = grid
        self.model = LaneTrunk(build_trunk)
        self.cls = nn.Sequential(
            nn.Linear(_FEATURES, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, grid.output_shape[0] * grid.output_shape[1] * grid.lanes),
        )
        self.pool = nn.Conv2d(512, 8, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Find lanes.

        Args:
            image: float32 [B, 3, 288, 800], RGB, normalised as for ImageNet.

        Returns:
            Logits [B, columns + 1, rows, lanes]; the last choice is "no lane".
        """
        features = self.pool(self.model(image)).view(-1, _FEATURES)
        logits: Tensor = self.cls(features)
        return logits.view(-1, *self.grid.output_shape)


def ufld_names() -> tuple[str, ...]:
    """All names that `ufld_network` knows; those without an ending are for TuSimple's grid."""
    return tuple(f"ufld_{trunk}{ending}" for trunk in _TRUNKS for ending in _GRIDS)


def ufld_network(
    name: str, *, weights: Path | None, changes: InputChanges, seed: int
) -> LaneNetwork:
    """One of the networks of Ultra Fast Lane Detection.

    Args:
        name: one of `ufld_names()`.
        weights: a checkpoint of the reference implementation, or a state dict under the same
            names; an auxiliary head in it is passed over. None for random weights.
        changes: preprocessing that differs from the published one; the size is fixed.
        seed: chooses random weights.

    Raises:
        InputSizeError: another size is asked for.
        PreprocessingError: the preprocessing is not possible.
        WeightsError: the weights file cannot be opened.
        WeightsMismatchError: it holds no state dict.
    """
    trunk, _, dataset = name.removeprefix("ufld_").partition("_")
    grid = _GRIDS[f"_{dataset}" if dataset else ""]
    build = partial(_build, _TRUNKS[trunk], grid)
    published = ImageInput(
        height=INPUT_HEIGHT, width=INPUT_WIDTH, mean=IMAGENET_MEAN, std=IMAGENET_STD
    )
    image_input = changes.applied_to(published)
    if (image_input.height, image_input.width) != (INPUT_HEIGHT, INPUT_WIDTH):
        raise InputSizeError(
            f"{name} takes images of {INPUT_HEIGHT}x{INPUT_WIDTH} pixels only, not "
            f"{image_input.height}x{image_input.width}; leave input_size out"
        )
    return LaneNetwork(
        name=name,
        build=build,
        weights=_random_weights(build, seed) if weights is None else LaneWeights(weights),
        is_random=weights is None,
        example_inputs=(example_input(image_input),),
        labels=(),
        preprocess=image_input,
        input_height=INPUT_HEIGHT,
        input_width=INPUT_WIDTH,
        decode=RowAnchorDecoder(
            row_anchors=grid.row_anchors, columns=grid.columns, input_width=INPUT_WIDTH
        ),
    )


class LaneWeights(Mapping[str, Tensor]):
    """A checkpoint without its auxiliary head, read one tensor at a time.

    Threads: any thread may read; the object never changes.

    Raises:
        WeightsError: the file cannot be opened, or has an unknown ending.
        WeightsMismatchError: it holds no state dict.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._weights: Weights = open_weights(check_checkpoint(path))
        self._names = [name for name in self._weights if not name.startswith(_AUXILIARY)]

    def __getitem__(self, name: str) -> Tensor:
        """Read one tensor.

        Raises:
            KeyError: the checkpoint has none of that name.
        """
        if name.startswith(_AUXILIARY):
            raise KeyError(name)
        return self._weights[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<LaneWeights {self.path}, {len(self)} tensors>"


def _build(build_trunk: Callable[..., models.ResNet], grid: LaneGrid) -> nn.Module:
    return RowAnchorNetwork(build_trunk, grid).eval()


def _random_weights(build: Callable[[], nn.Module], seed: int) -> SeededWeights:
    with torch.device("meta"):
        skeleton = build()
    # The branches of residual blocks add up: at full size values would grow from block to block.
    gains = {
        f"{name}.bn2.weight": _BRANCH_GAIN
        for name, module in skeleton.named_modules()
        if isinstance(module, models.resnet.BasicBlock)
    }
    return SeededWeights(skeleton, seed=seed, gains=gains)
