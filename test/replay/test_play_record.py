"""Results find their images."""

from __future__ import annotations

import numpy as np

from swapnet_ros.perception.tasks.lane_detection import LaneResult
from swapnet_ros.perception.tasks.semantic_segmentation import SegmentationResult
from swapnet_ros.replay.latency_parts import PARTS, LatencyParts
from swapnet_ros.replay.play_record import PlayRecord


def _parts(latency_s):
    return LatencyParts(latency_s=latency_s, **dict.fromkeys(PARTS, 0.0))


def test_images_of_two_cameras_with_one_stamp_are_told_apart():
    record = PlayRecord(["lanes"])
    for number, camera in enumerate(("left", "right")):
        result = LaneResult(lanes=(), width=number + 1, height=1)
        record.add_result("lanes", (7, camera), result, _parts(number), heard_s=0.0)
    live, output = record.take("lanes", (7, "right"))
    assert (live.parts.latency_s, output.width) == (1.0, 2)
    assert record.take("lanes", (7, "right")) is None
    assert record.left == {"lanes": 1}
    assert record.heard == {"lanes": 2}


def test_class_maps_and_areas_come_back_as_they_were():
    record = PlayRecord(["lanes", "classes"])
    random = np.random.default_rng(0)
    area = random.integers(0, 2, (7, 5)).astype(bool)
    class_map = random.integers(0, 9, (7, 5), dtype=np.uint8)
    shown = SegmentationResult(class_map=class_map, labels=(), shares=(), width=5, height=7)
    lanes = LaneResult(lanes=(), width=5, height=7)
    record.add_area("lanes", (1, "camera"), area)  # may come before the lines
    record.add_result("lanes", (1, "camera"), lanes, _parts(0.1), heard_s=0.0)
    record.add_result("classes", (1, "camera"), shown, _parts(0.1), heard_s=0.0)
    np.testing.assert_array_equal(record.take("lanes", (1, "camera"))[1].area, area)
    np.testing.assert_array_equal(record.take("classes", (1, "camera"))[1].class_map, class_map)
