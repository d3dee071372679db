from __future__ import annotations

import pytest

from swapnet_ros.perception.errors import LabelsError
from swapnet_ros.perception.models.labels import default_labels, read_labels


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.names"


def test_one_name_per_line(path):
    path.write_text("car\n traffic light \r\nbus\n\n\n")

    assert read_labels(path, count=3) == ("car", "traffic light", "bus")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"car\nbus\n", "has 2 names, but the network has 3 classes"),
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"car\n\nbus\n", "has an empty line 2"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_wrong_files_are_named(path, content, words):
    path.write_bytes(content)

    with pytest.raises(LabelsError, match=words) as caught:
        read_labels(path, count=3)

    assert caught.value.path == path
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(path):
    with pytest.raises(LabelsError, match="cannot be read"):
        read_labels(path)


def test_coco_for_80_classes(data_dir):
    published = read_labels(data_dir / "weights" / "coco.names", count=80)

    differing = {a: b for a, b in zip(default_labels(80), published, strict=True) if a != b}

    assert differing == {
        "motorcycle": "motorbike",
        "airplane": "aeroplane",
        "couch": "sofa",
        "potted plant": "pottedplant",
        "dining table": "diningtable",
        "tv": "tvmonitor",
    }


def test_numbers_where_nothing_is_known():
    assert default_labels(3) == ("class_0", "class_1", "class_2")
