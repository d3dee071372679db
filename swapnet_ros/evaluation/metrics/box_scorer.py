"""Boxes against labelled boxes: mean average precision, precision and recall."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swapnet_ros.evaluation.metrics.detections import (
    MatchCounts,
    count_labelled,
    count_matches,
    merge_labels,
)
from swapnet_ros.evaluation.metrics.label_map import KnownClasses, LabelMap
from swapnet_ros.evaluation.metrics.matching import (
    IOU_THRESHOLDS,
    Matches,
    average_precisions,
    corners,
    match_boxes,
)
from swapnet_ros.evaluation.metrics.shares import share
from swapnet_ros.evaluation.truth.frame import LabelledBox, TruthBoxes, TruthFrame
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult

_MOST_DETECTIONS = 100  # of one class in one image: COCO looks at no more
_BITS = 1 << np.arange(len(IOU_THRESHOLDS), dtype=np.uint16)
_COUNTS = ("true_positives", "false_positives", "false_negatives")


class _ClassTally:
    """What is known of one class: 12 bytes for each detection, whatever the images' size."""

    def __init__(self) -> None:
        self.labelled = 0
        self.counts = MatchCounts()
        self.scores = array("d")
        self.hits = array("H")  # a bit for each of COCO's thresholds
        self.ignored = array("H")

    def add(self, matches: Matches, labelled: Sequence[LabelledBox], min_score: float) -> None:
        self.labelled += count_labelled(labelled)
        self.counts += count_matches(matches, labelled, min_score=min_score)
        kept = slice(0, _MOST_DETECTIONS)
        self.scores.extend(matches.scores[kept].tolist())
        self.hits.extend((_BITS @ matches.hits[:, kept]).tolist())
        self.ignored.extend((_BITS @ matches.ignored[:, kept]).tolist())

    def precisions(self) -> NDArray[np.float64] | None:
        """The average precision at each threshold; None where nothing is labelled."""
        if not self.labelled:
            return None
        hits, ignored = (
            (np.asarray(bits, dtype=np.uint16) & _BITS[:, None]) > 0
            for bits in (self.hits, self.ignored)
        )
        return average_precisions(np.asarray(self.scores), hits, ignored, self.labelled)

    def state(self) -> dict[str, Any]:
        return {
            "labelled": self.labelled,
            "counts": [getattr(self.counts, name) for name in _COUNTS],
            "scores": self.scores.tolist(),
            "hits": self.hits.tolist(),
            "ignored": self.ignored.tolist(),
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> _ClassTally:
        tally = cls()
        tally.labelled = state["labelled"]
        tally.counts = MatchCounts(**dict(zip(_COUNTS, state["counts"], strict=True)))
        tally.scores.extend(state["scores"])
        tally.hits.extend(state["hits"])
        tally.ignored.extend(state["ignored"])
        return tally


class BoxScorer:
    """Compares boxes with labelled ones. Use from one thread."""

    def __init__(
        self,
        network_labels: Sequence[str],
        label_map: LabelMap | None = None,
        *,
        min_score: float = 0.3,
    ) -> None:
        """Begin without frames.

        Args:
            network_labels: names of all classes that the network knows; empty where nobody can
                tell, and all labels count.
            label_map: which names mean the same.
            min_score: smallest score of the detections that precision and recall count.
        """
        self._map = label_map or LabelMap()
        self._network = KnownClasses(network_labels, self._map)
        self._min_score = min_score
        self._frames = 0
        self._known: set[str] = set()
        self._tallies: dict[str, _ClassTally] = {}

    def add(self, result: DetectionResult, truth: TruthFrame) -> bool:
        """Take one frame; False, and nothing else, where its boxes are not labelled."""
        if truth.boxes is None:
            return False
        self._frames += 1
        self._known.update(self._map.names_of(truth.boxes.labels))
        found = self._found(result)
        labelled = self._labelled(truth.boxes, result)
        self._known.update(labelled)
        for name in sorted(found.keys() | labelled.keys()):
            detections, boxes = found.get(name, []), labelled.get(name, [])
            scores = [each.score for each in detections]
            matches = match_boxes(scores, corners(detections), boxes)
            self._tallies.setdefault(name, _ClassTally()).add(matches, boxes, self._min_score)
        return True

    def summary(self) -> dict[str, Any]:
        """The figures, None where there is nothing to make one of.

        They are over the classes that both sides know: labels of other classes may be another
        task's, and what the network finds of classes that nobody looked for may well be there.
        Means are over those with labelled boxes. `only_in_labels` has the numbers of the others.
        """
        tallies = {name: self._tally(name) for name in sorted(self._known) if name in self._network}
        precisions = {name: tally.precisions() for name, tally in tallies.items()}
        known = [each for each in precisions.values() if each is not None]
        total = sum((tally.counts for tally in tallies.values()), MatchCounts())
        return {
            "frames": self._frames,
            "labelled_boxes": sum(tally.labelled for tally in tallies.values()),
            "map_50": _mean(each[:1] for each in known),
            "map_50_95": _mean(known),
            "min_score": self._min_score,
            **_figures(total),
            "classes": {
                name: {
                    "labelled_boxes": tally.labelled,
                    "ap_50": None if precisions[name] is None else float(precisions[name][0]),
                    "ap_50_95": None if precisions[name] is None else _mean([precisions[name]]),
                    **_figures(tally.counts),
                }
                for name, tally in tallies.items()
            },
            "only_in_labels": {
                name: self._tally(name).labelled
                for name in sorted(self._known)
                if name not in self._network
            },
            "only_found": sorted(self._tallies.keys() - self._known),
        }

    def state(self) -> dict[str, Any]:
        """Everything but the settings, for JSON."""
        return {
            "frames": self._frames,
            "known": sorted(self._known),
            "tallies": {name: tally.state() for name, tally in sorted(self._tallies.items())},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of a scorer of the same settings; what was added before is lost."""
        self._frames = state["frames"]
        self._known = set(state["known"])
        self._tallies = {name: _ClassTally.of(each) for name, each in state["tallies"].items()}

    def _tally(self, name: str) -> _ClassTally:
        return self._tallies.get(name, _ClassTally())

    def _found(self, result: DetectionResult) -> dict[str, list[Detection]]:
        """Detections by the names under which they are compared."""
        found: dict[str, list[Detection]] = {}
        for each in result.detections:
            name = self._map.name_of(each.label)
            if name is not None:
                found.setdefault(name, []).append(replace(each, label=name))
        for name in self._map.merged & found.keys():
            alone = replace(result, detections=tuple(found[name]))
            found[name] = list(merge_labels(alone, {name}, merged=name).detections)
        return found

    def _labelled(self, truth: TruthBoxes, result: DetectionResult) -> dict[str, list[LabelledBox]]:
        """Labelled boxes by the names under which they are compared, in pixels of the result."""
        labelled: dict[str, list[LabelledBox]] = {}
        for box in truth.in_pixels(result.width, result.height):
            name = self._map.name_of(box.label)
            if name is not None:
                labelled.setdefault(name, []).append(replace(box, label=name))
        return labelled


def _figures(counts: MatchCounts) -> dict[str, float | int | None]:
    found = counts.true_positives + counts.false_positives
    labelled = counts.true_positives + counts.false_negatives
    return {
        "precision": share(counts.true_positives, found),
        "recall": share(counts.true_positives, labelled),
        "true_positives": counts.true_positives,
        "false_positives": counts.false_positives,
        "false_negatives": counts.false_negatives,
    }


def _mean(rows: Iterable[NDArray[np.float64]]) -> float | None:
    values = list(rows)
    return float(np.mean(values)) if values else None
