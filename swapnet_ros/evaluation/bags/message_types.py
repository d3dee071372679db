"""The message types that bags are read and written with, without ROS."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from swapnet_ros.evaluation.bags.problems import BagError

IMAGE, COMPRESSED_IMAGE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
OWN_PACKAGE = "swapnet_ros"

# vision_msgs 4, as in ROS 2 Humble and later; rosbags brings the common interfaces, but not these.
_VISION = {
    "Point2D": "float64 x\nfloat64 y",
    "Pose2D": "vision_msgs/Point2D position\nfloat64 theta",
    "BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y",
    "ObjectHypothesis": "string class_id\nfloat64 score",
    "ObjectHypothesisWithPose": (
        "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose"
    ),
    "Detection2D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
        "vision_msgs/BoundingBox2D bbox\nstring id"
    ),
    "Detection2DArray": "std_msgs/Header header\nvision_msgs/Detection2D[] detections",
    "Classification": "std_msgs/Header header\nvision_msgs/ObjectHypothesis[] results",
}

_IDL_RULE = "=" * 80 + "\n"
_IDL_TITLE = "IDL: "
Fields = dict[str, Any]  # rosbags' own structure, passed on unseen


@dataclass(frozen=True, slots=True, kw_only=True)
class BagTypes:
    """The types of one bag.

    Attributes:
        store: reads and writes their messages.
        unreadable: why a definition in the bag was not understood, by type.
    """

    store: Typestore
    unreadable: dict[str, str]

    def knows(self, type_name: str) -> bool:
        """Whether messages of a type can be read, with everything that is nested in them."""
        try:
            self.store.hash_rihs01(type_name)  # looks at all types nested in it
        except Exception:  # rosbags has no one error for it; the caller reports the type
            return False
        return True


def types_of(definitions: Iterable[tuple[str, MessageDefinition]]) -> BagTypes:
    """Collect the types of a bag: its own definitions first, then those that are known here.

    Args:
        definitions: type and definition for each topic; the format is NONE where the bag has none.
    """
    own: Fields = {}
    unreadable = {}
    for type_name, definition in definitions:
        try:
            own.update(_parse(type_name, definition))
        except Exception as error:  # the parser's and its grammar's many kinds
            unreadable[type_name] = str(error)
    known = _known_fields()
    if all(known.get(name) == fields for name, fields in own.items()):
        return BagTypes(store=_known_store(), unreadable=unreadable)
    try:
        store = _store({**known, **own})
    except Exception as error:  # as above: definitions that contradict the builtin ones, or names
        unreadable |= {name: str(error) for name in own.keys() - known.keys()}
        store = _known_store()
    return BagTypes(store=store, unreadable=unreadable)


def known_types() -> Typestore:
    """The types that are known without a bag: common interfaces, `vision_msgs` and our own.

    Raises:
        BagError: the definitions of our own messages are not installed.
    """
    if not _own_definitions():
        raise BagError(
            f"the definitions of the {OWN_PACKAGE} messages are not found; source this workspace's "
            "install/setup.bash, or install the package anew"
        )
    return _known_store()


def _parse(type_name: str, definition: MessageDefinition) -> Fields:
    if definition.format is MessageDefinitionFormat.NONE or not definition.data.strip():
        return {}
    if definition.format is MessageDefinitionFormat.MSG:
        return get_types_from_msg(definition.data, type_name)
    parts = definition.data.split(_IDL_RULE)
    found: Fields = {}
    for part in filter(None, parts):
        text = part.split("\n", 1)[1] if part.startswith(_IDL_TITLE) else part
        found.update(get_types_from_idl(text))
    return found


@lru_cache(maxsize=1)
def _known_fields() -> Fields:
    fields: Fields = dict(get_typestore(Stores.LATEST).fielddefs)
    for name, text in _VISION.items():
        fields.update(get_types_from_msg(text, f"vision_msgs/msg/{name}"))
    for name, text in _own_definitions().items():
        fields.update(get_types_from_msg(text, f"{OWN_PACKAGE}/msg/{name}"))
    return fields


@lru_cache(maxsize=1)
def _known_store() -> Typestore:
    return _store(_known_fields())


def _store(fields: Fields) -> Typestore:
    store = get_typestore(Stores.EMPTY)
    store.register(fields)
    return store


def _own_definitions() -> dict[str, str]:
    """Texts of our .msg files by name: those of the source tree, else those installed."""
    shared = Path("share") / OWN_PACKAGE / "msg"
    prefixes = filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))
    folders = [Path(__file__).resolve().parents[3] / "msg"]
    folders += [Path(prefix) / shared for prefix in (*prefixes, sys.prefix)]
    for folder in folders:
        if (folder / "DetectionArray.msg").is_file():
            return {file.stem: file.read_text("utf-8") for file in sorted(folder.glob("*.msg"))}
    return {}
