"""Classes of images, or of regions of them, against labelled ones: top-1 accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from swapnet_ros.evaluation.metrics.confusion import NOTHING, Confusion
from swapnet_ros.evaluation.metrics.label_map import KnownClasses, LabelMap
from swapnet_ros.evaluation.metrics.matching import corners, overlaps_of
from swapnet_ros.evaluation.metrics.shares import share
from swapnet_ros.evaluation.truth.frame import LabelledBox, TruthClasses, TruthFrame
from swapnet_ros.perception.tasks.image_classification import ClassificationResult, ClassifiedRegion

_LEAST_OVERLAP = 0.5


class ClassScorer:
    """Compares best classes with labelled ones. Use from one thread.

    Where the image as a whole is labelled, the first region answers for it. Where boxes are
    labelled, each region answers for the box that it overlaps most, by half at least; the others
    are counted beside, since it is the detector that chose them. Boxes of classes that the
    network does not know may be another task's, and are left out.
    """

    def __init__(self, network_labels: Sequence[str], label_map: LabelMap | None = None) -> None:
        """Begin without frames.

        Args:
            network_labels: names of all classes that the network knows.
            label_map: which names mean the same. What is labelled as an ignored class is left out.
        """
        self._map = label_map or LabelMap()
        self._network = KnownClasses(network_labels, self._map)
        self._frames = self._regions_unlabelled = self._labels_unanswered = 0
        self._known: set[str] = set()
        self._answers = Confusion()

    def add(self, result: ClassificationResult, truth: TruthFrame) -> bool:
        """Take one frame; False, and nothing else, where nobody has labelled classes in it."""
        if truth.classes is not None:
            self._add_image(result, truth.classes)
        elif truth.boxes is not None:
            self._known.update(self._map.names_of(truth.boxes.labels))
            self._add_regions(result, truth.boxes.in_pixels(result.width, result.height))
        else:
            return False
        self._frames += 1
        return True

    def summary(self) -> dict[str, Any]:
        """The figures, None where there is nothing to make one of."""
        names = list(self._answers)
        right = sum(self._answers.right(name) for name in names)
        labelled = sum(self._answers.labelled(name) for name in names)
        return {
            "frames": self._frames,
            "labelled": labelled,
            "right": right,
            "top_1": share(right, labelled),
            "regions_unlabelled": self._regions_unlabelled,
            "labels_unanswered": self._labels_unanswered,
            "classes": {
                name: {
                    "labelled": self._answers.labelled(name),
                    "right": self._answers.right(name),
                }
                for name in names
            },
            "confusion": self._answers.as_dict(),
            "only_in_labels": {
                name: self._answers.labelled(name)
                for name in sorted(self._known)
                if name not in self._network
            },
            "only_found": sorted(self._answers.found_names() - self._known),
        }

    def state(self) -> dict[str, Any]:
        """Everything but the settings, for JSON."""
        return {
            "frames": self._frames,
            "regions_unlabelled": self._regions_unlabelled,
            "labels_unanswered": self._labels_unanswered,
            "known": sorted(self._known),
            "answers": self._answers.as_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of a scorer of the same settings; what was added before is lost."""
        self._frames = state["frames"]
        self._regions_unlabelled = state["regions_unlabelled"]
        self._labels_unanswered = state["labels_unanswered"]
        self._known = set(state["known"])
        self._answers = Confusion()
        self._answers.merge(state["answers"])

    def _add_image(self, result: ClassificationResult, truth: TruthClasses) -> None:
        names = self._map.names_of(truth.names)
        self._known.update(self._map.names_of((*truth.labels, *truth.names)))
        if names:
            found = self._best(result.regions[0]) if result.regions else NOTHING
            self._answers.add(found if found in names else names[0], found)

    def _add_regions(self, result: ClassificationResult, boxes: Sequence[LabelledBox]) -> None:
        self._known.update(self._map.names_of(box.label for box in boxes))
        kept = [box for box in boxes if not (box.is_ignored or box.is_crowd)]
        kept = [box for box in kept if self._map.name_of(box.label) in self._network]
        pairs = _pairs(result.regions, kept)
        for region, box in pairs:
            self._answers.add(self._map.names_of([box.label])[0], self._best(region))
        self._regions_unlabelled += len(result.regions) - len(pairs)
        self._labels_unanswered += len(kept) - len(pairs)

    def _best(self, region: ClassifiedRegion) -> str:
        name = self._map.name_of(region.classes[0].label) if region.classes else None
        return NOTHING if name is None else name


def _pairs(
    regions: Sequence[ClassifiedRegion], boxes: Sequence[LabelledBox]
) -> list[tuple[ClassifiedRegion, LabelledBox]]:
    """Regions and the boxes that they show, each once, those that overlap most first."""
    overlaps = overlaps_of(corners(regions), corners(boxes), np.zeros(len(boxes), dtype=bool))
    pairs = []
    while overlaps.size and overlaps.max() >= _LEAST_OVERLAP:
        region, box = np.unravel_index(overlaps.argmax(), overlaps.shape)
        pairs.append((regions[region], boxes[box]))
        overlaps[region, :] = overlaps[:, box] = 0.0
    return pairs
