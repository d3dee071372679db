"""Results in the words of `vision_msgs`, where that is installed, and nothing where it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from std_msgs.msg import Header

from swapnet_ros.msg import DetectionArray
from swapnet_ros.nodes import vision_messages
from swapnet_ros.nodes.images import encode_image
from swapnet_ros.perception.tasks.image_classification import (
    ClassificationResult,
    ClassifiedRegion,
    ScoredClass,
)
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult

HEADER = Header(frame_id="camera")


@pytest.fixture
def vision():
    return pytest.importorskip("vision_msgs.msg", reason="needs vision_msgs, of a ROS install")


def region(*scores: tuple[str, float]) -> ClassifiedRegion:
    classes = tuple(
        ScoredClass(class_id=number, label=label, score=score)
        for number, (label, score) in enumerate(scores)
    )
    return ClassifiedRegion(x_min=10, y_min=20, x_max=30, y_max=60, classes=classes)


def test_boxes_become_centres_and_sizes(vision):
    box = Detection(
        class_id=3, label="bus", score=0.5, x_min=10.0, y_min=20.0, x_max=30.0, y_max=60.0
    )
    result = DetectionResult(detections=(box,), width=100, height=100)
    message = vision_messages.detections(result, HEADER)
    assert isinstance(message, vision.Detection2DArray)
    assert message.header == HEADER
    (found,) = message.detections
    assert found.header == HEADER
    assert (found.bbox.center.position.x, found.bbox.center.position.y) == (20, 40)
    assert (found.bbox.size_x, found.bbox.size_y) == (20, 40)
    (hypothesis,) = found.results
    assert (hypothesis.hypothesis.class_id, hypothesis.hypothesis.score) == ("bus", 0.5)


def test_regions_become_detections_with_all_their_classes(vision):
    result = ClassificationResult(
        regions=(region(("red", 0.75), ("green", 0.25)), region(("green", 1.0))),
        width=100,
        height=100,
    )
    message = vision_messages.classified_regions(result, HEADER)
    scores = [
        [(each.hypothesis.class_id, each.hypothesis.score) for each in found.results]
        for found in message.detections
    ]
    assert scores == [[("red", 0.75), ("green", 0.25)], [("green", 1.0)]]
    first = vision_messages.classification(result, HEADER)
    assert isinstance(first, vision.Classification)
    assert [each.class_id for each in first.results] == ["red", "green"]


def test_an_image_without_regions_has_no_classes(vision):
    result = ClassificationResult(regions=(), width=100, height=100)
    assert not vision_messages.classification(result, HEADER).results
    assert not vision_messages.classified_regions(result, HEADER).detections


def test_labels_are_numbered(vision):
    info = vision_messages.label_info(("stop", "yield"))
    found = [(each.class_id, each.class_name) for each in info.class_map]
    assert found == [(0, "stop"), (1, "yield")]


@pytest.mark.ros
def test_a_detector_publishes_both_kinds(robot, start_host, vision, street_message, wait_until):
    from rclpy.qos import DurabilityPolicy, QoSProfile

    start_host()
    robot.wait_for_state("active")
    heard, labels = [], []
    detections = robot.node.create_subscription(
        vision.Detection2DArray, "/object_detection/vision/detections", heard.append, 10
    )
    late = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    robot.node.create_subscription(
        vision.LabelInfo, "/object_detection/vision/label_info", labels.append, late
    )
    wait_until(lambda: detections.get_publisher_count() > 0, "the publisher")
    wait_until(lambda: robot.show(street_message) and heard, "boxes")
    own: DetectionArray = robot.results[-1]
    assert heard[-1].header == own.header
    assert [each.results[0].hypothesis.class_id for each in heard[-1].detections] == [
        each.label for each in own.detections
    ]
    wait_until(lambda: labels, "the labels")
    assert labels[-1].class_map[2].class_name == "car"
    assert labels[-1].header.stamp.sec > 0


@pytest.mark.ros
def test_a_classifier_publishes_both_kinds(robot, start_host, vision, monkeypatch, wait_until):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    task = "natural_scene_classification"
    start_host(swapnet={"nodes": [task]}, **{task: {"network": "small_networks:Brightness"}})
    robot.wait_for_state("active", task)
    heard = []
    robot.node.create_subscription(
        vision.Classification, f"/{task}/vision/classification", heard.append, 10
    )
    camera = robot.camera()
    bright = encode_image(np.full((20, 30, 3), 255, np.uint8), HEADER)

    def ask() -> list:
        camera.publish(bright)
        return heard

    wait_until(ask, "classes")
    assert heard[-1].results[0].class_id == "bright"


@pytest.mark.ros
def test_without_the_package_there_are_no_such_topics(robot, start_host, monkeypatch):
    monkeypatch.setattr(vision_messages, "IS_INSTALLED", False)
    start_host()
    robot.wait_for_state("active")
    topics = [name for name, _ in robot.node.get_topic_names_and_types()]
    assert not [name for name in topics if "/vision/" in name]
