"""What every task does with an image: prepare it, run its network, decode what that returns.

The nodes and the evaluation without ROS both do it here, so that they give the same results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils._pytree import tree_map_only

from swapnet_ros.perception.errors import ImageError
from swapnet_ros.perception.tasks.finding import fire_detection, wild_animal_recognition
from swapnet_ros.perception.tasks.image_classification import (
    ClassificationResult,
    ImageClassification,
    Region,
)
from swapnet_ros.perception.tasks.lane_detection import LaneDetection, LaneResult
from swapnet_ros.perception.tasks.object_detection import DetectionResult, ObjectDetection
from swapnet_ros.perception.tasks.semantic_segmentation import (
    SegmentationResult,
    SemanticSegmentation,
)

TaskResult = DetectionResult | LaneResult | SegmentationResult | ClassificationResult
Values = Mapping[str, Any]
"""A task's parameters by name."""


class FoundBoxes(Protocol):
    """A detector's boxes in one image: a `DetectionResult`, or the message that carries it.

    Attributes:
        width: pixels of the source image.
        height: pixels of the source image.
        detections: boxes with label and score.
    """

    width: int
    height: int
    detections: Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskKind:
    """What sets one kind of task apart.

    Attributes:
        make: from a network to the object with `preprocess` and `decode`.
        options: parameters that `decode` takes by the same names.
        is_by_region: its parameter `regions` says what of an image is looked at.
    """

    make: Callable[[Any], Any]
    options: tuple[str, ...] = ()
    is_by_region: bool = False


_BOXES = ("score_threshold", "iou_threshold", "max_detections")
_CLASSES = TaskKind(
    make=ImageClassification, options=("score_threshold", "max_classes"), is_by_region=True
)

TASK_KINDS: Mapping[str, TaskKind] = MappingProxyType(
    {
        "object_detection": TaskKind(make=ObjectDetection, options=_BOXES),
        "lane_detection": TaskKind(
            make=LaneDetection, options=("score_threshold", "min_points", "max_lanes")
        ),
        "semantic_segmentation": TaskKind(make=SemanticSegmentation),
        "traffic_sign_classification": _CLASSES,
        "traffic_light_classification": _CLASSES,
        "natural_scene_classification": _CLASSES,
        "fire_detection": TaskKind(make=fire_detection, options=_BOXES),
        "wild_animal_recognition": TaskKind(make=wild_animal_recognition, options=_BOXES),
    }
)
"""Every task by its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """One task around its network, with the values that hold for an image.

    Attributes:
        kind: what sets the task apart.
        task: the object with `preprocess` and `decode`.
        values: the parameters.
        infer: runs the network on positional inputs and returns what it returns.
    """

    kind: TaskKind
    task: Any
    values: Values
    infer: Callable[[tuple[Any, ...]], Any]

    def run(self, image: NDArray[np.uint8], found: FoundBoxes | None = None) -> TaskResult:
        """Find what the task finds in an image.

        Args:
            image: uint8 [H, W, 3], RGB.
            found: a detector's boxes in this image, for a task with `regions: detections`.

        Raises:
            ImageError: the image is not what the task takes, or the boxes are not its own.
            SwapNetError: the inference failed.
        """
        if not self.kind.is_by_region:
            return self._look_at(image)
        height, width = image.shape[:2]
        regions = wanted_regions(self.values, found, width=width, height=height)
        return ClassificationResult(
            regions=tuple(self._look_at(image, region) for region in regions),
            width=width,
            height=height,
        )

    def _look_at(self, image: NDArray[np.uint8], *region: Region | None) -> Any:
        prepared = self.task.preprocess(image, *region)
        options = {name: self.values[name] for name in self.kind.options}
        outputs = tree_map_only(torch.Tensor, torch.Tensor.cpu, self.infer(prepared.inputs))
        return self.task.decode(outputs, prepared, **options)


def wanted_regions(
    values: Values, found: FoundBoxes | None, *, width: int, height: int
) -> Sequence[Region | None]:
    """Say which parts of an image are to be classified; None stands for the whole image.

    Args:
        values: the task's parameters.
        found: a detector's boxes in this image, where they are wanted.
        width: of the image in pixels.
        height: of the image in pixels.

    Raises:
        ImageError: the boxes belong to an image of another size, or there are none.
    """
    if values["regions"] == "image":
        return (None,)
    if values["regions"] == "region":
        left, top, right, bottom = values["region"]
        return (
            Region(
                x_min=left * width, y_min=top * height, x_max=right * width, y_max=bottom * height
            ),
        )
    if found is None:
        raise ImageError("no detector's boxes came with the image, and its regions are such boxes")
    return _boxes_of(found, values, width=width, height=height)


def _boxes_of(found: FoundBoxes, values: Values, *, width: int, height: int) -> Sequence[Region]:
    """The best boxes of the labels that are wanted."""
    if (found.width, found.height) != (width, height):
        raise ImageError(
            f"the boxes belong to an image of {found.width}x{found.height} pixels, and this one "
            f"has {width}x{height}; give the detector and this node the same camera"
        )
    labels = set(values["detection_labels"])
    boxes = [
        Region(x_min=each.x_min, y_min=each.y_min, x_max=each.x_max, y_max=each.y_max)
        for each in sorted(found.detections, key=lambda each: -each.score)
        if (not labels or each.label in labels) and each.x_min < each.x_max
        if each.y_min < each.y_max
    ]
    return boxes[: values["max_regions"]]
