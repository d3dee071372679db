"""What the tasks look for, where neither a file nor the network says it."""

from __future__ import annotations

from collections.abc import Sequence

TRAFFIC_SIGNS = (
    "speed limit 20",
    "speed limit 30",
    "speed limit 50",
    "speed limit 60",
    "speed limit 70",
    "speed limit 80",
    "end of speed limit 80",
    "speed limit 100",
    "speed limit 120",
    "no overtaking",
    "no overtaking by lorries",
    "right of way at the next crossing",
    "priority road",
    "give way",
    "stop",
    "no vehicles",
    "no lorries",
    "no entry",
    "danger",
    "bend to the left",
    "bend to the right",
    "double bend",
    "uneven road",
    "slippery road",
    "road narrows on the right",
    "road works",
    "traffic lights",
    "pedestrians",
    "children",
    "cyclists",
    "ice or snow",
    "wild animals",
    "end of all restrictions",
    "turn right ahead",
    "turn left ahead",
    "ahead only",
    "ahead or right",
    "ahead or left",
    "keep right",
    "keep left",
    "roundabout",
    "end of no overtaking",
    "end of no overtaking by lorries",
)
"""The 43 classes of GTSRB (Stallkamp et al., IJCNN 2011) in their order."""

TRAFFIC_LIGHTS = ("green", "red", "yellow", "off")

NATURAL_SCENES = ("buildings", "forest", "glacier", "mountain", "sea", "street")
"""The classes of the Intel image classification set, in their order."""

FIRE = ("fire", "no fire")

ROAD_SCENE = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)
"""The 19 classes of Cityscapes (Cordts et al., CVPR 2016) in the order of their train ids."""

_QUIET = frozenset(
    ("no fire", "no_fire", "nofire", "non fire", "non_fire", "normal", "neutral", "none")
)
_BACKGROUND = "__background__"
_COCO_ANIMALS = frozenset(
    ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe")
)
_IMAGENET_CLASSES, _IMAGENET_ANIMALS = 1000, 398


def fire_classes(labels: Sequence[str]) -> tuple[int, ...]:
    """The classes that are a fire or its smoke: all but those that say that there is none."""
    return tuple(
        number
        for number, label in enumerate(labels)
        if label.lower() not in _QUIET and label != _BACKGROUND
    )


def animal_classes(labels: Sequence[str]) -> tuple[int, ...]:
    """The classes that are animals.

    Of ImageNet's 1000 these are the first 398; of other labels, such as COCO's, those that are one
    of COCO's ten animals; where none is, all: a network for animals has no other classes.
    """
    if len(labels) == _IMAGENET_CLASSES:
        return tuple(range(_IMAGENET_ANIMALS))
    known = tuple(number for number, label in enumerate(labels) if label in _COCO_ANIMALS)
    return known or tuple(n for n, label in enumerate(labels) if label != _BACKGROUND)
