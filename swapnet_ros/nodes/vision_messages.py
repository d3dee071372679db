"""Results in the words of `vision_msgs`, where that package is installed (it need not be)."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from std_msgs.msg import Header

from swapnet_ros.perception.tasks.image_classification import ClassificationResult, ClassifiedRegion
from swapnet_ros.perception.tasks.object_detection import DetectionResult

vision_msgs: ModuleType | None
try:
    import vision_msgs.msg as vision_msgs
except ImportError:
    vision_msgs = None

IS_INSTALLED = vision_msgs is not None


def message_type(name: str) -> type:
    """A message type of `vision_msgs` by its name; only where that is installed."""
    kind: type = getattr(vision_msgs, name)
    return kind


def detections(result: DetectionResult, header: Header) -> Any:
    """Objects as `Detection2DArray`: one hypothesis each, its `class_id` being the label."""
    found = []
    for each in result.detections:
        box = (each.x_min, each.y_min, each.x_max, each.y_max)
        found.append(_detection(box, [(each.label, each.score)], header))
    return vision_msgs.Detection2DArray(header=header, detections=found)


def classified_regions(result: ClassificationResult, header: Header) -> Any:
    """Regions as `Detection2DArray`: all classes of a region are its hypotheses."""
    found = []
    for each in result.regions:
        box = (each.x_min, each.y_min, each.x_max, each.y_max)
        found.append(_detection(box, _scores(each), header))
    return vision_msgs.Detection2DArray(header=header, detections=found)


def classification(result: ClassificationResult, header: Header) -> Any:
    """The classes of the first region as `Classification`, which knows of no regions."""
    scores = _scores(result.regions[0]) if result.regions else []
    hypotheses = [_hypothesis(label, score) for label, score in scores]
    return vision_msgs.Classification(header=header, results=hypotheses)


def label_info(labels: Sequence[str]) -> Any:
    """Labels as `LabelInfo`; the header is left to the caller."""
    classes = [
        vision_msgs.VisionClass(class_id=number, class_name=label)
        for number, label in enumerate(labels)
    ]
    return vision_msgs.LabelInfo(class_map=classes)


def _detection(
    box: tuple[float, float, float, float], scores: Sequence[tuple[str, float]], header: Header
) -> Any:
    # rosidl ends the process over an integer where a message has a float
    x_min, y_min, x_max, y_max = map(float, box)
    detection = vision_msgs.Detection2D(header=header)
    detection.bbox.center.position.x = (x_min + x_max) / 2
    detection.bbox.center.position.y = (y_min + y_max) / 2
    detection.bbox.size_x = x_max - x_min
    detection.bbox.size_y = y_max - y_min
    detection.results = [
        vision_msgs.ObjectHypothesisWithPose(hypothesis=_hypothesis(label, score))
        for label, score in scores
    ]
    return detection


def _scores(region: ClassifiedRegion) -> list[tuple[str, float]]:
    return [(each.label, each.score) for each in region.classes]


def _hypothesis(label: str, score: float) -> Any:
    return vision_msgs.ObjectHypothesis(class_id=label, score=float(score))
