"""Images wait for the boxes of their stamp, some of them and not for ever."""

from __future__ import annotations

import time

import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from swapnet_ros.msg import DetectionArray
from swapnet_ros.nodes.box_matching import EARLY_LIMIT, BoxMatcher
from swapnet_ros.nodes.cameras import CameraFrame
from swapnet_ros.nodes.frames import Frame


def header(stamp: int, frame_id: str = "camera") -> Header:
    made = Header(frame_id=frame_id)
    made.stamp.sec = stamp
    return made


def image(stamp: int, frame_id: str = "camera", *, age_s: float = 0.0) -> CameraFrame:
    message = Image(header=header(stamp, frame_id), width=1, height=1, step=3, encoding="rgb8")
    message.data = bytes(3)
    return CameraFrame("/image", message, arrived_s=time.monotonic() - age_s)


def boxes(stamp: int, frame_id: str = "camera") -> DetectionArray:
    return DetectionArray(header=header(stamp, frame_id))


class Bench:
    def __init__(self, limit: int = 3, wait_s: float = 10.0) -> None:
        self.offered: list[Frame] = []
        self.matcher = BoxMatcher(self.offered.append, limit=limit, wait_s=lambda: wait_s)

    @property
    def stamps(self) -> list[int]:
        for frame in self.offered:
            assert frame.camera.header == frame.detections.header
        return [frame.camera.header.stamp.sec for frame in self.offered]


def test_images_meet_their_boxes_whichever_comes_first():
    bench = Bench()
    bench.matcher.put_frame(image(1))
    bench.matcher.put_detections(boxes(1))
    bench.matcher.put_detections(boxes(2))
    bench.matcher.put_frame(image(2))
    assert bench.stamps == [1, 2]
    assert bench.matcher.dropped == 0


def test_cameras_are_told_apart():
    bench = Bench()
    bench.matcher.put_frame(image(1, "north"))
    bench.matcher.put_detections(boxes(1, "south"))
    assert not bench.offered
    bench.matcher.put_detections(boxes(1, "north"))
    assert bench.stamps == [1]


def test_where_room_is_needed_images_that_nobody_works_on_go_first():
    bench = Bench(limit=3)
    worked_on = image(1)
    worked_on.image()
    bench.matcher.put_frame(worked_on)
    for stamp in range(2, 40):
        bench.matcher.put_frame(image(stamp))
    bench.matcher.put_detections(boxes(1))
    bench.matcher.put_detections(boxes(39))
    assert bench.stamps == [1, 39]
    assert bench.matcher.dropped == 36


def test_memory_is_bounded_even_if_all_images_are_decoded():
    bench = Bench(limit=3)
    for stamp in range(10):
        each = image(stamp)
        each.image()
        bench.matcher.put_frame(each)
    assert bench.matcher.dropped == 7


def test_an_image_waits_no_longer_than_allowed():
    bench = Bench(wait_s=1.0)
    bench.matcher.put_frame(image(1, age_s=2.0))
    bench.matcher.put_detections(boxes(1))
    assert not bench.offered
    assert bench.matcher.dropped == 1


def test_boxes_without_images_are_not_kept_for_ever():
    bench = Bench(limit=100)
    for stamp in range(EARLY_LIMIT + 5):
        bench.matcher.put_detections(boxes(stamp))
    for stamp in range(EARLY_LIMIT + 5):
        bench.matcher.put_frame(image(stamp))
    assert bench.stamps == list(range(5, EARLY_LIMIT + 5))


def test_a_camera_without_stamps_keeps_its_newest_image():
    bench = Bench()
    for _ in range(5):
        bench.matcher.put_frame(image(0))
    assert bench.matcher.dropped == 4


@pytest.mark.parametrize("is_early", [True, False])
def test_after_its_end_nothing_is_kept(is_early):
    bench = Bench()
    if is_early:
        bench.matcher.put_frame(image(1))
    bench.matcher.close()
    if not is_early:
        bench.matcher.put_frame(image(1))
    bench.matcher.put_detections(boxes(1))
    assert not bench.offered
    assert bench.matcher.dropped == 1
