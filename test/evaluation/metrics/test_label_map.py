from __future__ import annotations

import pytest

from swapnet_ros.evaluation.metrics.label_map import KnownClasses, LabelMap
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


@pytest.mark.parametrize(
    ("groups", "ignored", "words"),
    [
        ({"a": ["car"], "b": ["Car"]}, (), "'car' stands twice, in a and b"),
        ({"a": ["car"]}, ("car",), "'car' stands twice, in a and ignored"),
        ({"a": ["car"], "car": ["bus"]}, (), "'car' stands twice, in a and car"),
    ],
)
def test_a_name_has_one_meaning(groups, ignored, words):
    with pytest.raises(TruthError, match=words):
        LabelMap(groups, ignored=ignored)


def test_classes_that_a_network_can_find():
    label_map = LabelMap({"vehicle": ["car"]}, ignored=["sky"])
    known = KnownClasses(["Car", "sky"], label_map)

    assert "vehicle" in known
    assert "dog" not in known
    assert None not in known
    assert "dog" in KnownClasses((), label_map)
