"""Class maps against labelled ones: intersection over union."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from swapnet_ros.evaluation.metrics.confusion import NOTHING, Confusion
from swapnet_ros.evaluation.metrics.label_map import KnownClasses, LabelMap
from swapnet_ros.evaluation.metrics.shares import share
from swapnet_ros.evaluation.truth.frame import TruthFrame
from swapnet_ros.perception.tasks.semantic_segmentation import SegmentationResult


class MaskScorer:
    """Compares class maps with labelled ones, pixel by pixel. Use from one thread.

    A labelled map of another size is brought to the image's: each pixel takes the nearest one.
    """

    def __init__(self, network_labels: Sequence[str], label_map: LabelMap | None = None) -> None:
        """Begin without frames.

        Args:
            network_labels: names of all classes that the network knows.
            label_map: which names mean the same. Labelled pixels of ignored classes are void.
        """
        self._map = label_map or LabelMap()
        self._network = KnownClasses(network_labels, self._map)
        self._frames = 0
        self._known: set[str] = set()
        self._pixels = Confusion()

    def add(self, result: SegmentationResult, truth: TruthFrame) -> bool:
        """Take one frame; False, and nothing else, where its pixels are not labelled."""
        if truth.mask is None:
            return False
        self._frames += 1
        labels = truth.mask.labels
        self._known.update(self._map.names_of(labels))
        labelled = _resized(truth.mask.class_map, result.width, result.height)
        is_known = labelled < len(labels)
        found = result.class_map[is_known].astype(np.int64)
        pairs = labelled[is_known].astype(np.int64) * len(result.labels) + found
        counts = np.bincount(pairs)
        for pair in np.flatnonzero(counts).tolist():
            name = self._map.name_of(labels[pair // len(result.labels)])
            if name is not None:
                answer = self._map.name_of(result.labels[pair % len(result.labels)])
                self._pixels.add(name, NOTHING if answer is None else answer, int(counts[pair]))
        return True

    def summary(self) -> dict[str, Any]:
        """The figures, None where there is nothing to make one of.

        The mean is over the classes of which there are labelled pixels. A class that the network
        does not know has an intersection of 0, and what it finds of classes that the labels do not
        know is wrong.
        """
        names = list(self._pixels)
        ious = {name: self._iou(name) for name in names}
        right = sum(self._pixels.right(name) for name in names)
        pixels = sum(self._pixels.labelled(name) for name in names)
        return {
            "frames": self._frames,
            "labelled_pixels": pixels,
            "miou": share(sum(ious.values()), len(ious)),
            "pixel_accuracy": share(right, pixels),
            "classes": {
                name: {"iou": ious[name], "labelled_pixels": self._pixels.labelled(name)}
                for name in names
            },
            "only_in_labels": {
                name: self._pixels.labelled(name)
                for name in sorted(self._known)
                if name not in self._network
            },
            "only_found": sorted(self._pixels.found_names() - self._known),
        }

    def state(self) -> dict[str, Any]:
        """Everything but the settings, for JSON."""
        return {
            "frames": self._frames,
            "known": sorted(self._known),
            "pixels": self._pixels.as_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of a scorer of the same settings; what was added before is lost."""
        self._frames = state["frames"]
        self._known = set(state["known"])
        self._pixels = Confusion()
        self._pixels.merge(state["pixels"])

    def _iou(self, name: str) -> float:
        right = self._pixels.right(name)
        return right / (self._pixels.labelled(name) + self._pixels.found(name) - right)


def _resized(
    class_map: NDArray[np.unsignedinteger], width: int, height: int
) -> NDArray[np.unsignedinteger]:
    if class_map.shape == (height, width):
        return class_map
    resized = cv2.resize(class_map, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(resized)
