from __future__ import annotations

import pytest

from swapnet_ros.evaluation.metrics.label_map import LabelMap
from swapnet_ros.evaluation.truth.errors import TruthError


def test_names_are_equal_however_they_are_written():
    label_map = LabelMap()

    assert (
        label_map.name_of("Traffic_Light")
        == label_map.name_of(" traffic-light")
        == ("traffic light")
    )


def test_groups_and_ignored_classes():
    label_map = LabelMap({"Vehicle": ["car", "Truck"]}, ignored=["sky"])

    assert label_map.name_of("truck") == label_map.name_of("vehicle") == "vehicle"
    assert label_map.name_of("Sky") is None
    assert label_map.names_of(["car", "truck", "sky", "dog"]) == ("vehicle", "dog")
    assert label_map.merged == {"vehicle"}


def test_a_file(tmp_path):
    path = tmp_path / "classes.yaml"
    path.write_text("vehicle: [car, bus]\nignored: [sky]\n")

    label_map = LabelMap.read(path)

    assert (label_map.name_of("bus"), label_map.name_of("sky")) == ("vehicle", None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [car]\nb: [car]\n", "'car' stands twice, in a and b"),
        ("a: [car]\nignored: [car]\n", "'car' stands twice, in a and ignored"),
        ("a: car\n", "must map classes to lists"),
        ("- car\n", "must map classes to lists"),
        ("a: [\n", "is no YAML"),
    ],
)
def test_broken_files_are_named(tmp_path, text, words):
    path = tmp_path / "classes.yaml"
    path.write_text(text)

    with pytest.raises(TruthError, match=words):
        LabelMap.read(path)
