"""Images over DDS: newest first, header copied, bad ones survived, every one counted."""

from __future__ import annotations

import copy
import time

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import CompressedImage, Image

from swapnet_ros.nodes.images import decode_image

pytestmark = pytest.mark.ros


@pytest.fixture
def active(robot, start_host):
    """A host whose detector is active."""
    host = start_host()
    robot.wait_for_state("active")
    return host


def test_a_result_carries_the_header_and_the_size_of_its_image(robot, active, street_message):
    result = robot.show(street_message)
    assert result.header == street_message.header
    assert (result.width, result.height) == (street_message.width, street_message.height)
    assert result.network == "yolo-fastest-1.1"
    scores = [detection.score for detection in result.detections]
    assert scores == sorted(scores, reverse=True)
    for box in result.detections:
        assert 0 <= box.x_min < box.x_max <= result.width
        assert 0 <= box.y_min < box.y_max <= result.height
        assert box.label


def test_times_of_a_result_add_up(robot, active, street_message):
    timing = robot.show(street_message).timing
    parts = (timing.queue_s, timing.decode_s, timing.inference_s)
    assert all(part >= 0 for part in parts)
    assert sum(parts) + timing.publish_s <= timing.total_s + 1e-9
    assert timing.publish_s > 0
    assert 0 < timing.compute_s <= timing.inference_s
    assert timing.stall_s >= 0


def test_frames_fed_too_fast_are_dropped_and_counted(robot, active, street_message, wait_until):
    robot.show(street_message)
    camera = robot.camera()
    for stamp in range(100):
        street_message.header.stamp.sec = stamp
        camera.publish(street_message)
        time.sleep(0.003)  # else DDS replaces most of them before the node sees them
    wait_until(lambda: robot.results[-1].header.stamp.sec == 99, "the newest frame's result")
    counts = {name: int(value) for name, value in robot.values().items() if name in COUNTS}
    assert counts["dropped"] > 0
    assert counts["processed"] == len(robot.results)
    assert counts["received"] == counts["processed"] + counts["dropped"]
    stamps = [result.header.stamp.sec for result in robot.results[1:]]
    assert stamps == sorted(set(stamps))


COUNTS = ("received", "processed", "dropped", "refused", "stale", "late", "failed")


def spoilt(message: Image, **changes: object) -> Image:
    bad = copy.deepcopy(message)
    for name, value in changes.items():
        setattr(bad, name, value)
    return bad


def test_bad_frames_are_refused_counted_and_survived(robot, active, street_message, wait_until):
    robot.show(street_message)
    camera = robot.camera()
    for bad in (
        spoilt(street_message, step=3),
        spoilt(street_message, encoding="rgb9"),
        spoilt(street_message, height=street_message.height + 1),
    ):
        refused = int(robot.values()["refused"])
        camera.publish(bad)
        wait_until(lambda: int(robot.values()["refused"]) == refused + 1, "a refusal")  # noqa: B023
    found = [s for s in robot.diagnostics if s.level == DiagnosticStatus.WARN]
    assert any("a frame was refused: step is 3 bytes" in status.message for status in found)
    assert any("encoding 'rgb9' is not known" in status.message for status in found)
    assert robot.show(street_message).detections
    assert robot.status().level == DiagnosticStatus.OK
    assert robot.state() == "active"


def test_thresholds_are_live(robot, active, street_message):
    many = robot.show(street_message).detections
    assert robot.set("object_detection", max_detections=1)[0].successful
    assert len(robot.show(street_message).detections) == 1
    assert robot.set("object_detection", max_detections=300, score_threshold=1.0)[0].successful
    assert not robot.show(street_message).detections
    low, bad = robot.set("object_detection", score_threshold=0.05, iou_threshold=2.0)
    assert low.successful
    assert not bad.successful
    assert "iou_threshold" in bad.reason
    assert len(robot.show(street_message).detections) > len(many)


def test_the_rate_limit_is_live(robot, active, street_message, wait_until):
    robot.show(street_message)
    camera = robot.camera()
    assert robot.set("object_detection", max_rate_hz=0.001)[0].successful
    before = len(robot.results)
    for _ in range(10):
        camera.publish(street_message)
    time.sleep(0.3)
    assert len(robot.results) == before
    assert robot.set("object_detection", max_rate_hz=0.0)[0].successful
    wait_until(lambda: len(robot.results) == before + 1, "the newest frame's result")


def test_a_live_rate_reaches_admission(robot, active, street_message):
    robot.show(street_message)
    assert robot.values("/swapnet")["/object_detection rate_hz"] == "none"
    assert robot.set("object_detection", max_rate_hz=700.0)[0].successful
    robot.show(street_message)
    assert robot.values("/swapnet")["/object_detection rate_hz"] == "700.00"
    assert robot.values("/swapnet")["rates_fit"] == "False"
    assert robot.set("object_detection", max_rate_hz=0.0)[0].successful
    robot.show(street_message)
    assert robot.values("/swapnet")["/object_detection rate_hz"] == "none"


def test_a_frame_past_its_deadline_is_not_processed(robot, active, street_message, wait_until):
    robot.show(street_message)
    assert robot.set("object_detection", deadline_s=1e-6)[0].successful
    robot.camera().publish(street_message)
    wait_until(lambda: robot.values()["late"] == "1", "a late frame")
    assert any("a frame missed its deadline" in status.message for status in robot.diagnostics)
    assert robot.set("object_detection", deadline_s=30.0)[0].successful
    assert robot.show(street_message).detections


def test_the_debug_image_is_drawn_only_while_someone_listens(
    robot, active, street, street_message, monkeypatch, wait_until
):
    robot.show(street_message)
    assert robot.node.count_publishers("/object_detection/debug_image") == 1
    pictures: list[Image] = []
    listener = robot.node.create_subscription(
        Image, "/object_detection/debug_image", pictures.append, 1
    )
    wait_until(lambda: listener.get_publisher_count() == 1, "the debug image's publisher")
    wait_until(lambda: robot.show(street_message) and pictures, "a debug image")
    picture = decode_image(pictures[-1])
    assert pictures[-1].header == street_message.header
    assert picture.shape == street.shape
    assert (picture != street).any()
    robot.node.destroy_subscription(listener)
    drawn = []
    monkeypatch.setattr("swapnet_ros.nodes.detection.draw_detections", lambda *_: drawn.append(1))
    time.sleep(0.5)
    robot.show(street_message)
    assert not drawn


def test_compressed_images(robot, start_host, street, street_message, wait_until):
    start_host(object_detection={"image_transport": "compressed"})
    robot.wait_for_state("active")
    topic = "/image/compressed"
    header = street_message.header
    bgr = cv2.cvtColor(street, cv2.COLOR_RGB2BGR)
    exact = CompressedImage(
        header=header, format="png", data=cv2.imencode(".png", bgr)[1].tobytes()
    )
    result = robot.show(exact, topic)
    assert result.header == header
    assert result.detections
    cut = CompressedImage(header=header, format="png", data=bytes(exact.data)[:10_000])
    robot.camera(topic).publish(cut)
    wait_until(lambda: robot.values()["refused"] == "1", "a refusal")
    assert "PNG is cut off" in robot.values()["last_problem"]
    again = robot.show(exact, topic)
    assert again.detections == result.detections


def test_a_remapping_moves_raw_and_compressed_images(robot, start_host, street, street_message):
    start_host("-r", "image:=/camera/front", object_detection={"image_transport": "compressed"})
    robot.wait_for_state("active")
    data = cv2.imencode(".png", np.ascontiguousarray(street[..., ::-1]))[1].tobytes()
    message = CompressedImage(header=street_message.header, format="png", data=data)
    assert robot.show(message, "/camera/front/compressed").detections


def test_an_error_in_the_network_is_reported_and_the_next_frame_goes_on(
    robot, active, street_message, monkeypatch, wait_until
):
    robot.show(street_message)
    with monkeypatch.context() as patch:
        patch.setattr("torchvision.ops.batched_nms", lambda *_: 1 / 0)
        robot.camera().publish(street_message)
        wait_until(lambda: robot.values()["failed"] == "1", "a failed frame")
    assert any("a frame failed: division by zero" in s.message for s in robot.diagnostics)
    assert robot.show(street_message).detections


def test_a_camera_that_is_silent_is_named(robot, active, monkeypatch, wait_until):
    monkeypatch.setattr("swapnet_ros.nodes.diagnostics.SILENCE_WARNING_S", 0.5)
    status = wait_until(
        lambda: next(
            (s for s in robot.diagnostics if "no message on /image for" in s.message), None
        ),
        "a warning",
    )
    assert status.level == DiagnosticStatus.WARN
