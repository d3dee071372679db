"""Image classification: an image, or regions of it, in; the best classes out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swapnet_ros.perception.errors import ImageError, ThresholdError
from swapnet_ros.perception.tasks.preprocessing import PreparedImage, check_rgb_image

if TYPE_CHECKING:  # its import takes seconds, and results are also made and drawn without networks
    from swapnet_ros.perception.models.classification import ClassificationNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A part of an image, in pixels of it; the origin is the outer corner of its first pixel.

    Attributes:
        x_min: left edge.
        y_min: upper edge.
        x_max: right edge.
        y_max: lower edge.
    """

    x_min: float
    y_min: float
    x_max: float
    y_max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredClass:
    """A class that a region may show.

    Attributes:
        class_id: index into the network's labels.
        label: the class's name.
        score: its probability, 0..1.
    """

    class_id: int
    label: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifiedRegion:
    """What a part of an image shows.

    Attributes:
        x_min: left edge in pixels of the source image.
        y_min: upper edge in pixels of the source image.
        x_max: right edge, at most the image's width.
        y_max: lower edge, at most the image's height.
        classes: the most probable ones, best first.
    """

    x_min: float
    y_min: float
    x_max: float
    y_max: float
    classes: tuple[ScoredClass, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationResult:
    """What the regions of one image show.

    Attributes:
        regions: the classified parts; one that covers it for the image as a whole.
        width: pixels of the source image.
        height: pixels of the source image.
    """

    regions: tuple[ClassifiedRegion, ...]
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRegion:
    """One region, ready for a network.

    Attributes:
        inputs: positional arguments for the network.
        region: in whole pixels of the source image.
        width: pixels of the source image.
        height: pixels of the source image.
    """

    inputs: tuple[Any, ...]
    region: Region
    width: int
    height: int


class ImageClassification:
    """The two halves around a classification network: before it and after it.

    Each region is one call of the network: its memory is planned for one image.

    Threads: any thread may call any method; the object never changes.

    Args:
        network: the network that runs between `preprocess` and `decode`.
    """

    def __init__(self, network: ClassificationNetwork) -> None:
        self.network = network

    def preprocess(self, image: NDArray[np.uint8], region: Region | None = None) -> PreparedRegion:
        """Turn an image, or a region of it, into the network's inputs.

        Args:
            image: uint8 [H, W, 3], RGB, with any strides; it is not changed.
            region: what of it is looked at, in pixels; cut off at the image's borders and widened
                to whole pixels. None for all of it.

        Raises:
            ImageError: the image has another type or shape, or the region has no pixels in it.
        """
        check_rgb_image(image)
        height, width = image.shape[:2]
        wanted = region or Region(x_min=0, y_min=0, x_max=width, y_max=height)
        x_min, y_min = max(0, math.floor(wanted.x_min)), max(0, math.floor(wanted.y_min))
        x_max, y_max = min(width, math.ceil(wanted.x_max)), min(height, math.ceil(wanted.y_max))
        if x_min >= x_max or y_min >= y_max:
            raise ImageError(f"{wanted} has no pixels of an image of {width}x{height}; drop it")
        prepared: PreparedImage = self.network.preprocess(image[y_min:y_max, x_min:x_max])
        return PreparedRegion(
            inputs=prepared.inputs,
            region=Region(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max),
            width=width,
            height=height,
        )

    def decode(
        self,
        outputs: Any,
        prepared: PreparedRegion,
        *,
        score_threshold: float = 0.0,
        max_classes: int = 5,
    ) -> ClassifiedRegion:
        """Turn the network's outputs into classes.

        Args:
            outputs: what the network returned for `prepared.inputs`.
            prepared: what `preprocess` returned.
            score_threshold: smallest score, 0..1.
            max_classes: the best ones that are returned.

        Raises:
            ThresholdError: the threshold is outside of 0..1, or `max_classes` below 1.
            NetworkOutputError: the outputs are no scores, or of another number of classes.
        """
        if not 0 <= score_threshold <= 1:
            raise ThresholdError(f"score_threshold must lie in 0..1, but is {score_threshold}")
        if max_classes < 1:
            raise ThresholdError(f"max_classes must be at least 1, but is {max_classes}")
        scores = self.network.decode(outputs)
        best = scores.topk(min(max_classes, len(scores)))
        rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        region = prepared.region
        return ClassifiedRegion(
            x_min=region.x_min,
            y_min=region.y_min,
            x_max=region.x_max,
            y_max=region.y_max,
            classes=tuple(
                ScoredClass(class_id=class_id, label=self.network.label(class_id), score=score)
                for class_id, score in rows
                if score >= score_threshold
            ),
        )
