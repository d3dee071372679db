from __future__ import annotations

import pytest

from swapnet_core.errors import InputError
from swapnet_ros.cli.evaluate_scenario import join_scenario, parse_remaps
from swapnet_ros.evaluation.direct.direct_task import find_camera, resolve_topic

_SIGNS = """
/**/swapnet:
  ros__parameters: {nodes: [signs=traffic_sign_classification, near=object_detection, %s]}
/**/signs: {ros__parameters: {regions: detections, cameras: [front]}}
/**/near: {ros__parameters: {cameras: [front]}}
/**/far: {ros__parameters: {cameras: [%s]}}
"""


@pytest.mark.parametrize(
    ("name", "remaps", "expected"),
    [
        ("image", {}, "/image"),
        ("/front/image", {}, "/front/image"),
        ("~/image", {}, "/node/image"),
        ("image", {"image": "/front"}, "/front"),
        ("image", {"image": "/front", "node:image": "rear"}, "/rear"),
        ("image", {"other:image": "/front"}, "/image"),
    ],
)
def test_topics_are_named_as_a_node_names_them(name, remaps, expected):
    assert resolve_topic(name, "node", remaps) == expected


@pytest.mark.parametrize(
    ("topic", "available", "expected"),
    [
        ("/a", ("/a", "/b"), "/a"),
        ("/a", ("/a/compressed", "/b"), "/a/compressed"),
        ("/a/compressed", ("/a", "/b"), "/a"),
        ("/a", ("/camera/image_raw",), "/camera/image_raw"),
    ],
)
def test_a_camera_is_found_raw_or_compressed_or_as_the_only_one(topic, available, expected):
    assert find_camera(topic, available) == expected


def test_a_camera_that_is_not_in_the_bag_is_told_with_what_to_write():
    with pytest.raises(InputError, match=r"has no images on /image; .*--remap image:=/left/image"):
        find_camera("/image", ("/left/image", "/right/points"))
    with pytest.raises(InputError, match="has no images on /front; its image topics are /a"):
        find_camera("/front", ("/a",), is_chosen=True)
    with pytest.raises(InputError, match="the bag has no image topics"):
        find_camera("/image", ())


def test_boxes_come_from_the_only_detector_on_the_camera_or_the_one_that_is_named(tmp_path):
    path = tmp_path / "scenario.yaml"
    path.write_text(_SIGNS % ("far=object_detection", "rear"))
    topics = ("/front", "/rear")
    assert join_scenario(path, topics, {}).tasks[0].detector == "near"
    path.write_text(_SIGNS % ("far=object_detection", "front"))
    remaps = parse_remaps(["signs:detections:=/far/detections"])
    assert join_scenario(path, topics, remaps).tasks[0].detector == "far"
    with pytest.raises(InputError, match="there are: /near/detections, /far/detections"):
        join_scenario(path, topics, {})
    with pytest.raises(InputError, match="/elsewhere is not one of this scenario's"):
        join_scenario(path, topics, parse_remaps(["detections:=/elsewhere"]))
