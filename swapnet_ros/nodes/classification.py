"""The nodes that classify: images in, classes of the image or of regions in it out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from rclpy.qos import QoSProfile, ReliabilityPolicy

from swapnet_ros.msg import ClassificationArray, DetectionArray, ScoredClass
from swapnet_ros.msg import ClassifiedRegion as RegionMessage
from swapnet_ros.nodes import vision_messages
from swapnet_ros.nodes.box_matching import BoxMatcher
from swapnet_ros.nodes.cameras import CameraFrame
from swapnet_ros.nodes.frame_run import FrameRun, ResultOrigin
from swapnet_ros.nodes.frames import Frame, FrameCounts, FrameWorker
from swapnet_ros.nodes.images import RgbImage
from swapnet_ros.nodes.live_parameters import Values
from swapnet_ros.nodes.task_node import TaskNode
from swapnet_ros.nodes.task_parameters import (
    NATURAL_SCENE_CLASSIFICATION,
    TRAFFIC_LIGHT_CLASSIFICATION,
    TRAFFIC_SIGN_CLASSIFICATION,
)
from swapnet_ros.perception.drawing import draw_classification
from swapnet_ros.perception.errors import ImageMessageError
from swapnet_ros.perception.tasks.image_classification import (
    ClassificationResult,
    ClassifiedRegion,
    ImageClassification,
    Region,
)

CLASSIFICATIONS = "~/classifications"
# best effort: it takes what reliable and best-effort detectors send
BOXES_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
VISION_CLASSIFICATION, VISION_DETECTIONS = "~/vision/classification", "~/vision/detections"


class ClassificationNode(TaskNode):
    """Classifies images or regions in them; publishes `~/classifications`."""

    RESULTS: ClassVar[Mapping[str, type]] = {CLASSIFICATIONS: ClassificationArray}
    VISION: ClassVar[Mapping[str, str]] = {
        VISION_CLASSIFICATION: "Classification",
        VISION_DETECTIONS: "Detection2DArray",
    }

    _matcher: BoxMatcher | None = None
    _boxes: Any = None  # subscription to the detector's boxes
    _boxes_s = 0.0  # when the last of them came
    _unmatched = 0  # images without boxes in earlier activations

    def make_task(self, network: Any, values: Values) -> ImageClassification:
        """Make the classification task for a network."""
        return ImageClassification(network)

    # Boxes of a detector.

    @property
    def counts(self) -> FrameCounts:
        """Frames since the node was created; those without boxes are dropped ones."""
        counts, matcher = super().counts, self._matcher
        unmatched = self._unmatched + (matcher.dropped if matcher else 0)
        return replace(counts, dropped=counts.dropped + unmatched)

    def route(self, worker: FrameWorker) -> Callable[[CameraFrame], None]:
        """Let images wait for their boxes, where boxes are wanted."""
        if self.values["regions"] != "detections":
            return super().route(worker)
        self._matcher = BoxMatcher(
            worker.offer,
            limit=self.values["waiting_images"],
            wait_s=lambda: self.values["detections_wait_s"],
        )
        self._boxes_s = time.monotonic()
        self._boxes = self.create_subscription(
            DetectionArray, "detections", self._take_boxes, BOXES_QOS
        )
        return self._matcher.put_frame

    def drain(self) -> None:
        """Take no more images and boxes, and publish the result of the image in hand."""
        matcher = self._matcher
        if matcher is not None:
            matcher.close()  # what still comes is counted there until the cameras are closed
        super().drain()
        if self._boxes is not None:
            self.destroy_subscription(self._boxes)
            self._boxes = None
        if matcher is not None:
            self._unmatched += matcher.dropped
            self._matcher = None

    def input_ages_s(self) -> Mapping[str, float]:
        """Seconds since the last image of each camera, and since the last boxes."""
        ages_s, boxes = dict(super().input_ages_s()), self._boxes
        if boxes is not None:
            ages_s[boxes.topic_name] = time.monotonic() - self._boxes_s
        return ages_s

    def _take_boxes(self, detections: DetectionArray) -> None:
        matcher = self._matcher
        if matcher is not None:
            self._boxes_s = time.monotonic()
            matcher.put_detections(detections)

    # Classes.

    def analyse(self, run: FrameRun) -> ClassificationResult:
        """Find the classes of every region."""
        image = run.frame.camera.image()
        height, width = image.shape[:2]
        classified = []
        for region in wanted_regions(run.frame, run.values, width=width, height=height):
            prepared = run.task.preprocess(image, region)
            found = run.task.decode(
                run.infer(prepared.inputs),
                prepared,
                score_threshold=run.values["score_threshold"],
                max_classes=run.values["max_classes"],
            )
            classified.append(found)
        return ClassificationResult(regions=tuple(classified), width=width, height=height)

    def make_messages(
        self, result: ClassificationResult, origin: ResultOrigin
    ) -> Mapping[str, Any]:
        """Fill a `ClassificationArray`."""
        message = ClassificationArray(
            header=origin.header,
            network=origin.network,
            width=result.width,
            height=result.height,
            regions=[_to_message(region) for region in result.regions],
            timing=origin.timing,
        )
        return {CLASSIFICATIONS: message}

    def make_vision_messages(
        self, result: ClassificationResult, origin: ResultOrigin
    ) -> Mapping[str, Any]:
        """Fill a `vision_msgs/Classification`, and a `Detection2DArray` with the regions."""
        return {
            VISION_CLASSIFICATION: vision_messages.classification(result, origin.header),
            VISION_DETECTIONS: vision_messages.classified_regions(result, origin.header),
        }

    def draw(self, image: RgbImage, result: ClassificationResult) -> RgbImage:
        """Draw the regions and their best classes."""
        return draw_classification(image, result)


def wanted_regions(
    frame: Frame, values: Values, *, width: int, height: int
) -> Sequence[Region | None]:
    """Say which parts of an image are to be classified; None stands for the whole image.

    Args:
        frame: the image, with its boxes where they are wanted.
        values: the node's parameters.
        width: of the image in pixels.
        height: of the image in pixels.

    Raises:
        ImageMessageError: the boxes belong to an image of another size.
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
    return _boxes_of(frame.detections, values, width=width, height=height)


def _boxes_of(
    found: DetectionArray, values: Values, *, width: int, height: int
) -> Sequence[Region]:
    """The best boxes of the labels that are wanted."""
    if (found.width, found.height) != (width, height):
        raise ImageMessageError(
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


def _to_message(region: ClassifiedRegion) -> RegionMessage:
    return RegionMessage(
        x_min=float(region.x_min),
        y_min=float(region.y_min),
        x_max=float(region.x_max),
        y_max=float(region.y_max),
        classes=[
            ScoredClass(class_id=each.class_id, label=each.label, score=each.score)
            for each in region.classes
        ],
    )


class NaturalSceneClassificationNode(ClassificationNode):
    """Tells what kind of scene the camera sees."""

    TASK, SPECS = "natural_scene_classification", NATURAL_SCENE_CLASSIFICATION


class TrafficLightClassificationNode(ClassificationNode):
    """Tells the state of traffic lights."""

    TASK, SPECS = "traffic_light_classification", TRAFFIC_LIGHT_CLASSIFICATION


class TrafficSignClassificationNode(ClassificationNode):
    """Tells which traffic sign is seen."""

    TASK, SPECS = "traffic_sign_classification", TRAFFIC_SIGN_CLASSIFICATION
