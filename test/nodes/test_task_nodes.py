"""Every kind of task over DDS: results in pixels of the source image, with the image's header."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from swapnet_ros.msg import (
    ClassificationArray,
    Detection,
    DetectionArray,
    LaneArray,
    SegmentationInfo,
)
from swapnet_ros.nodes.images import decode_image, encode_image

pytestmark = pytest.mark.ros

BRIGHTNESS = "small_networks:Brightness"
CLASSIFIER = "traffic_light_classification"
HEIGHT, WIDTH = 120, 200


@pytest.fixture(autouse=True)
def own_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)


@pytest.fixture
def half_bright() -> Image:
    """Black on the left, white on the right."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:, WIDTH // 2 :] = 255
    header = Header(frame_id="camera")
    header.stamp.sec, header.stamp.nanosec = 55, 66
    return encode_image(pixels, header)


@pytest.fixture
def listen(robot, wait_until) -> Callable[[type, str], list]:
    def listen(kind: type, topic: str) -> list:
        heard: list[Any] = []
        subscription = robot.node.create_subscription(kind, topic, heard.append, 10)
        wait_until(lambda: subscription.get_publisher_count() > 0, f"a publisher of {topic}")
        return heard

    return listen


@pytest.fixture
def start_task(robot, start_host):
    """Start one task's node and wait until it is active."""

    def start(task: str, **parameters: Any) -> None:
        start_host(
            swapnet={"nodes": [task]},
            object_detection={"autostart": False},
            **{task: parameters},
        )
        robot.wait_for_state("active", task)

    return start


@pytest.fixture
def show(robot):
    """Publish a message until what is wanted has come: best effort may lose the first."""

    def show(message: Any, is_done: Callable[[], Any], topic: str = "/image") -> None:
        camera = robot.camera(topic, type(message))
        for _ in range(60):
            camera.publish(message)
            end_s = time.monotonic() + 1.0
            while time.monotonic() < end_s:
                if is_done():
                    return
                time.sleep(0.005)
        pytest.fail("no result")

    return show


def best(message: ClassificationArray) -> list[str]:
    return [region.classes[0].label for region in message.regions]


def test_a_whole_image_is_classified(start_task, listen, show, half_bright):
    start_task(CLASSIFIER, network=BRIGHTNESS)
    heard = listen(ClassificationArray, f"/{CLASSIFIER}/classifications")
    bright = encode_image(np.full((HEIGHT, WIDTH, 3), 255, np.uint8), half_bright.header)
    show(bright, lambda: heard)
    message = heard[-1]
    assert message.header == half_bright.header
    assert (message.width, message.height) == (WIDTH, HEIGHT)
    assert message.network == BRIGHTNESS
    (region,) = message.regions
    assert (region.x_min, region.y_min, region.x_max, region.y_max) == (0, 0, WIDTH, HEIGHT)
    assert [each.label for each in region.classes] == ["bright", "dark"]
    assert region.classes[0].class_id == 1
    assert region.classes[0].score > 0.99
    assert 0 < message.timing.compute_s <= message.timing.inference_s <= message.timing.total_s


def test_a_fixed_region_is_classified_and_can_be_moved(
    robot, start_task, listen, show, half_bright
):
    start_task(
        CLASSIFIER,
        network=BRIGHTNESS,
        regions="region",
        region=[0.0, 0.5, 0.5, 1.0],
        max_classes=1,
    )
    heard = listen(ClassificationArray, f"/{CLASSIFIER}/classifications")
    show(half_bright, lambda: heard)
    (region,) = heard[-1].regions
    assert (region.x_min, region.y_min, region.x_max, region.y_max) == (0, 60, 100, 120)
    assert best(heard[-1]) == ["dark"]
    assert robot.set(CLASSIFIER, region=[0.5, 0.5, 1.0, 1.0])[0].successful
    heard.clear()
    show(half_bright, lambda: heard)
    assert best(heard[-1]) == ["bright"]
    (answer,) = robot.set(CLASSIFIER, region=[0.5, 0.5, 0.5, 1.0])
    assert not answer.successful
    assert "is no part of an image" in answer.reason


def box(label: str, x_min: float, x_max: float, score: float = 0.9) -> Detection:
    return Detection(
        label=label, score=score, x_min=float(x_min), y_min=10.0, x_max=float(x_max), y_max=40.0
    )


def boxes_for(image: Image, *found: Detection) -> DetectionArray:
    return DetectionArray(
        header=image.header, width=image.width, height=image.height, detections=list(found)
    )


@pytest.fixture
def with_boxes(robot, start_task, listen, half_bright, wait_until):
    """A classifier of boxes, a publisher of boxes, and what the classifier answers."""
    start_task(CLASSIFIER, network=BRIGHTNESS, regions="detections", max_classes=1)
    heard = listen(ClassificationArray, f"/{CLASSIFIER}/classifications")
    detector = robot.node.create_publisher(DetectionArray, "/detections", 10)
    wait_until(lambda: detector.get_subscription_count() > 0, "the classifier's subscription")
    return heard, detector


def test_boxes_of_the_same_stamp_are_classified(robot, with_boxes, show, half_bright, wait_until):
    heard, detector = with_boxes
    found = boxes_for(
        half_bright, box("light", 10, 40, 0.8), box("light", 150, 190), box("car", 0, 50)
    )
    assert robot.set(CLASSIFIER, detection_labels=["light"])[0].successful
    camera = robot.camera()
    other = copy.deepcopy(half_bright)
    other.header.stamp.sec += 1

    def ask() -> list:
        camera.publish(half_bright)
        time.sleep(0.05)  # else DDS replaces it before the node sees it
        camera.publish(other)
        detector.publish(found)
        end_s = time.monotonic() + 1
        while not heard and time.monotonic() < end_s:
            time.sleep(0.01)
        return heard

    wait_until(ask, "an answer")
    assert heard[0].header == half_bright.header
    assert best(heard[0]) == ["bright", "dark"]  # the better box first
    assert [region.x_min for region in heard[0].regions] == [150, 10]


def test_images_without_boxes_are_dropped_and_a_silent_detector_is_named(
    robot, with_boxes, half_bright, monkeypatch, wait_until
):
    heard, _ = with_boxes
    monkeypatch.setattr("swapnet_ros.nodes.diagnostics.SILENCE_WARNING_S", 1.0)
    assert robot.set(CLASSIFIER, detections_wait_s=0.05)[0].successful
    camera = robot.camera()
    for stamp in range(40):
        half_bright.header.stamp.sec = stamp
        camera.publish(half_bright)
        time.sleep(0.02)
    assert int(robot.values(f"/{CLASSIFIER}")["dropped"]) > 0
    assert not heard
    wait_until(
        lambda: any("no message on /detections for" in s.message for s in robot.diagnostics),
        "a warning",
    )


def test_boxes_of_an_image_of_another_size_are_refused(robot, with_boxes, half_bright, wait_until):
    heard, detector = with_boxes
    found = boxes_for(half_bright, box("light", 10, 40))
    found.width *= 2
    camera = robot.camera()

    def is_refused() -> bool:
        camera.publish(half_bright)
        detector.publish(found)
        return "the boxes belong to an image of" in robot.values(f"/{CLASSIFIER}")["last_problem"]

    wait_until(is_refused, "a refusal")
    assert not heard


def test_no_boxes_no_regions(robot, with_boxes, half_bright, wait_until):
    heard, detector = with_boxes
    camera = robot.camera()

    def ask() -> list:
        camera.publish(half_bright)
        detector.publish(boxes_for(half_bright))
        time.sleep(0.1)
        return heard

    wait_until(ask, "an answer")
    assert not heard[0].regions


def test_a_detector_of_the_same_process_gives_the_boxes(
    robot, start_host, listen, show, street_message
):
    start_host(
        "-r",
        "detections:=object_detection/detections",
        swapnet={"nodes": ["object_detection", CLASSIFIER]},
        **{CLASSIFIER: {"network": BRIGHTNESS, "regions": "detections"}},
    )
    robot.wait_for_state("active", CLASSIFIER)
    robot.wait_for_state("active")
    heard = listen(ClassificationArray, f"/{CLASSIFIER}/classifications")
    show(street_message, lambda: heard)
    assert robot.results[-1].detections
    found = sorted(robot.results[-1].detections, key=lambda each: -each.score)[:8]
    assert len(heard[-1].regions) == len(found)
    for region, each in zip(heard[-1].regions, found, strict=True):
        assert abs(region.x_min - each.x_min) <= 1
        assert abs(region.y_max - each.y_max) <= 1


def test_every_pixel_gets_its_class(start_task, listen, show, half_bright):
    task = "semantic_segmentation"
    start_task(task, network="small_networks:Thresholds")
    maps = listen(Image, f"/{task}/class_map")
    infos = listen(SegmentationInfo, f"/{task}/segmentation_info")
    show(half_bright, lambda: maps and infos)
    info, class_map = infos[-1], maps[-1]
    assert info.header == class_map.header == half_bright.header
    assert class_map.encoding == "mono8"
    assert (class_map.width, class_map.height, class_map.step) == (WIDTH, HEIGHT, WIDTH)
    classes = decode_image(class_map)[..., 0]
    assert (classes[:, : WIDTH // 2 - 4] == 0).all()
    assert (classes[:, WIDTH // 2 + 4 :] == 1).all()
    assert info.labels == ["dark", "bright"]
    assert list(info.shares) == pytest.approx([0.5, 0.5], abs=0.05)


def test_lane_lines_are_points_of_the_source_image(start_task, listen, show, half_bright, tmp_path):
    pixels = np.zeros((128, 192, 3), np.uint8)
    for row in range(40, 128):
        pixels[row, row // 2 : row // 2 + 8] = 255  # from (20, 40) down to (64, 128)
    start_task("lane_detection", network="small_networks:BrightLines")
    heard = listen(LaneArray, "/lane_detection/lanes")
    show(encode_image(pixels, half_bright.header), lambda: heard)
    message = heard[-1]
    assert message.header == half_bright.header
    assert (message.width, message.height) == (192, 128)
    (lane,) = message.lanes
    rows = [point.y for point in lane.points]
    assert rows == sorted(rows, reverse=True)
    for point in lane.points:
        assert abs(point.x - (point.y / 2 + 4)) < 4
    assert 0 < lane.score <= 1


def test_the_cameras_lane_is_a_mask_of_the_source_image(start_task, listen, show, half_bright):
    task = "lane_detection"
    start_task(task, network="small_networks:BrightLines", outputs="area_mask")
    masks = listen(Image, f"/{task}/ego_lane")
    lanes = listen(LaneArray, f"/{task}/lanes")
    show(half_bright, lambda: masks and lanes)
    mask = masks[-1]
    assert mask.header == lanes[-1].header == half_bright.header
    assert (mask.encoding, mask.width, mask.height, mask.step) == ("mono8", WIDTH, HEIGHT, WIDTH)
    area = decode_image(mask)[..., 0]
    assert (area[:, : WIDTH // 2 - 4] == 0).all()
    assert (area[:, WIDTH // 2 + 4 :] == 255).all()


def test_a_classifier_tells_where_the_fire_is(start_task, listen, show, half_bright):
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[30:90, 100:180, 0] = 255
    start_task("fire_detection", network="small_networks:RedIsFire")
    heard = listen(DetectionArray, "/fire_detection/detections")
    show(encode_image(pixels, half_bright.header), lambda: heard)
    (fire,) = heard[-1].detections
    assert fire.label == "fire"
    edges = (fire.x_min, fire.y_min, fire.x_max, fire.y_max)
    assert edges == pytest.approx((100, 30, 180, 90), abs=8)


def test_one_process_hosts_all_kinds_of_tasks(robot, start_host, listen, show, half_bright):
    tasks = {
        "fire_detection": "small_networks:RedIsFire",
        "natural_scene_classification": BRIGHTNESS,
        "semantic_segmentation": "small_networks:Thresholds",
        "traffic_light_classification": BRIGHTNESS,
    }
    start_host(
        swapnet={"nodes": ["object_detection", *tasks]},
        **{task: {"network": network} for task, network in tasks.items()},
    )
    for task in ("object_detection", *tasks):
        robot.wait_for_state("active", task)
    heard = [
        robot.results,
        listen(DetectionArray, "/fire_detection/detections"),
        listen(ClassificationArray, "/natural_scene_classification/classifications"),
        listen(SegmentationInfo, "/semantic_segmentation/segmentation_info"),
        listen(ClassificationArray, "/traffic_light_classification/classifications"),
    ]
    show(half_bright, lambda: all(heard))
    assert all(messages[-1].header == half_bright.header for messages in heard)
    assert robot.node.count_subscribers("/image") == 1
