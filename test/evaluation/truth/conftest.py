"""Messages as a bag's reader makes them, of our own definitions and of vision_msgs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

_OWN = Path(__file__).resolve().parents[3] / "msg"
_VISION = {
    "Point2D": "float64 x\nfloat64 y",
    "Pose2D": "vision_msgs/Point2D position\nfloat64 theta",
    "BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y",
    "ObjectHypothesis": "string class_id\nfloat64 score",
    "ObjectHypothesisWithPose": "vision_msgs/ObjectHypothesis hypothesis",
    "Detection2D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
        "vision_msgs/BoundingBox2D bbox\nstring id"
    ),
    "Detection2DArray": "std_msgs/Header header\nvision_msgs/Detection2D[] detections",
    "Classification": "std_msgs/Header header\nvision_msgs/ObjectHypothesis[] results",
    "VisionClass": "uint16 class_id\nstring class_name",
    "LabelInfo": ("std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold"),
}


@pytest.fixture(scope="session")
def messages() -> SimpleNamespace:
    """Message classes by name: fields are given by keyword; `header` is an empty one."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    types: dict[str, Any] = {}
    for name, text in _VISION.items():
        types.update(get_types_from_msg(text, f"vision_msgs/msg/{name}"))
    for path in _OWN.glob("*.msg"):
        types.update(get_types_from_msg(path.read_text("utf-8"), f"swapnet_ros/msg/{path.stem}"))
    store.register(types)
    found = {
        name.rpartition("/")[2]: kind
        for name, kind in store.types.items()
        if name.startswith(("swapnet_ros/", "vision_msgs/", "sensor_msgs/", "std_msgs/"))
    }
    time = store.types["builtin_interfaces/msg/Time"](sec=0, nanosec=0)
    return SimpleNamespace(**found, header=found["Header"](stamp=time, frame_id="camera"))
