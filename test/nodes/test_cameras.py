"""One subscription per topic, one decoding per image, whatever the number of tasks."""

from __future__ import annotations

import copy
import gc
import threading
import time
import weakref

import numpy as np
import pytest
from sensor_msgs.msg import Image

from swapnet_ros.msg import DetectionArray
from swapnet_ros.nodes import cameras
from swapnet_ros.nodes.cameras import CameraFrame
from swapnet_ros.perception.errors import ImageMessageError

TASKS = 4


def message(width: int = 4, encoding: str = "rgb8") -> Image:
    return Image(
        width=width, height=1, step=3 * width, encoding=encoding, data=bytes(range(3 * width))
    )


def frame(of: Image) -> CameraFrame:
    return CameraFrame("/image", of, arrived_s=0.0)


@pytest.fixture
def decodings(monkeypatch) -> list[Image]:
    """The messages that were decoded."""
    decoded: list[Image] = []
    decode = cameras.decode_image

    def count(message: Image):
        decoded.append(message)
        return decode(message)

    monkeypatch.setattr(cameras, "decode_image", count)
    return decoded


def test_many_tasks_decode_a_frame_once(decodings):
    shared = frame(message())
    assert not shared.is_decoded
    images = []
    threads = [threading.Thread(target=lambda: images.append(shared.image())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(decodings) == 1
    assert shared.is_decoded
    assert all(image is images[0] for image in images)


def test_the_shared_image_cannot_be_changed_by_a_task():
    image = frame(message()).image()
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0] = 0


def test_a_bad_frame_is_refused_for_every_task_and_decoded_once(decodings):
    bad = frame(message(encoding="rgb9"))
    for _ in range(3):
        with pytest.raises(ImageMessageError, match="rgb9"):
            bad.image()
    assert len(decodings) == 1


def test_a_frame_is_gone_with_the_last_task_that_holds_it():
    shared = frame(message())
    image = weakref.ref(shared.image())
    del shared
    gc.collect()
    assert image() is None


@pytest.mark.ros
def test_four_nodes_share_subscription_and_decoding(
    robot, start_host, detector_parameters, street_message, decodings, wait_until
):
    names = [f"detector_{number}" for number in range(TASKS)]
    results: dict[str, list[DetectionArray]] = {name: [] for name in names}
    for name in names:
        robot.node.create_subscription(
            DetectionArray, f"/{name}/detections", results[name].append, 50
        )
    parameters = dict.fromkeys(names, detector_parameters)
    start_host(swapnet={"nodes": [f"{name}=object_detection" for name in names]}, **parameters)
    for name in names:
        robot.wait_for_state("active", name)
    camera = robot.camera()
    wait_until(lambda: robot.node.count_subscribers("/image") == 1, "the one subscription")
    for stamp in range(1, 6):
        shown = copy.copy(street_message)
        shown.header.stamp.sec = stamp

        def are_done(stamp: int = stamp) -> bool:
            return all(found and found[-1].header.stamp.sec == stamp for found in results.values())

        while not are_done():
            camera.publish(shown)
            end_s = time.monotonic() + 20
            while not are_done() and time.monotonic() < end_s:
                time.sleep(0.005)
    processed = sum(len(found) for found in results.values())
    assert processed >= TASKS * 5
    assert len(decodings) * TASKS == processed
    # all saw the same pixels
    boxes = [[d.score for d in results[name][-1].detections] for name in names]
    assert boxes.count(boxes[0]) == TASKS


@pytest.mark.ros
def test_the_subscription_ends_with_the_last_active_node(robot, start_host, wait_until):
    start_host()
    robot.wait_for_state("active")
    wait_until(lambda: robot.node.count_subscribers("/image") == 1, "the subscription")
    assert robot.change_state("deactivate")
    wait_until(lambda: robot.node.count_subscribers("/image") == 0, "the end of it")
    assert robot.change_state("activate")
    wait_until(lambda: robot.node.count_subscribers("/image") == 1, "the subscription again")


@pytest.mark.ros
def test_several_cameras_share_one_network_in_turn(robot, start_host, street_message, wait_until):
    start_host(object_detection={"cameras": ["north/image", "/south"]})
    robot.wait_for_state("active")
    fast, slow = robot.camera("/north/image"), robot.camera("/south")
    shown = {}
    for name in ("north", "south"):
        shown[name] = copy.deepcopy(street_message)
        shown[name].header.frame_id = name
    for stamp in range(1, 200):
        shown["north"].header.stamp.sec = stamp
        fast.publish(shown["north"])
        if stamp % 10 == 0:
            shown["south"].header.stamp.sec = stamp
            slow.publish(shown["south"])
        time.sleep(0.005)
    seen = {result.header.frame_id for result in robot.results}
    assert seen == {"north", "south"}
    values = robot.values()
    assert float(values["/south age_s"]) >= 0
    assert float(values["/north/image age_s"]) >= 0


@pytest.mark.ros
def test_a_silent_camera_of_several_is_named(
    robot, start_host, street_message, monkeypatch, wait_until
):
    monkeypatch.setattr("swapnet_ros.nodes.diagnostics.SILENCE_WARNING_S", 1.0)
    start_host(object_detection={"cameras": ["north", "south"]})
    robot.wait_for_state("active")
    camera = robot.camera("/north")

    def is_named() -> bool:
        camera.publish(street_message)
        time.sleep(0.05)
        return any(s.message.startswith("no message on /south for") for s in robot.diagnostics)

    wait_until(is_named, "a warning about the silent camera alone")


@pytest.mark.ros
def test_cameras_that_remapping_makes_one_are_refused(robot, start_host, wait_until):
    start_host("-r", "north:=south", object_detection={"cameras": ["north", "south"]})
    wait_until(
        lambda: any("are the same topic after remapping" in s.message for s in robot.diagnostics),
        "an error",
    )
    assert robot.state() == "unconfigured"


@pytest.mark.ros
def test_a_stale_frame_is_dropped_and_counted(robot, start_host, street_message, wait_until):
    start_host(object_detection={"max_age_s": 5.0})
    robot.wait_for_state("active")
    fresh = copy.deepcopy(street_message)
    fresh.header.stamp = robot.node.get_clock().now().to_msg()
    robot.show(fresh)
    robot.camera().publish(street_message)  # its stamp is of 1970
    wait_until(lambda: robot.values()["stale"] == "1", "a stale frame")
    assert any("a frame was stale: the image is" in s.message for s in robot.diagnostics)
    assert robot.set("object_detection", max_age_s=0.0)[0].successful
    assert robot.show(street_message).header == street_message.header
    without_stamp = copy.deepcopy(street_message)
    without_stamp.header.stamp.sec = without_stamp.header.stamp.nanosec = 0
    assert robot.set("object_detection", max_age_s=0.001)[0].successful
    assert robot.show(without_stamp).header.stamp.sec == 0


def test_decoded_pixels_are_those_of_the_message():
    shown = message()
    np.testing.assert_array_equal(
        frame(shown).image().reshape(-1), np.frombuffer(shown.data, np.uint8)
    )
