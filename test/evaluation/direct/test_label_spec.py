from __future__ import annotations

import pytest

from swapnet_core.errors import InputError
from swapnet_ros.evaluation.direct.label_spec import LabelSource, read_label_spec

_TOPICS = ("/image", "/truth")


def test_words_are_topics_files_and_lists_of_them(tmp_path):
    (tmp_path / "boxes").mkdir()
    (tmp_path / "names.txt").write_text("bike\n\ncar\n")
    path = tmp_path / "labels.yaml"
    path.write_text(
        "sources:\n"
        "- {labels: boxes, kind: yolo, names: names.txt, order: images, tolerance_s: 0.1}\n"
        "same_classes: {vehicle: [car, bus], ignored: [bike]}\nmin_score: 0.5\n"
    )
    spec = read_label_spec(["/truth", str(path)], _TOPICS)
    first, second = spec.sources
    assert first == LabelSource(labels="/truth")
    assert second == LabelSource(
        labels=str(tmp_path / "boxes"),
        kind="yolo",
        names=("bike", "car"),
        order=str(tmp_path / "images"),
        tolerance_s=0.1,
    )
    assert spec.same_classes == {"vehicle": ("car", "bus"), "ignored": ("bike",)}
    assert spec.min_score == 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sources: {}", "must have a list `sources`"),
        ("sources: [{kind: yolo}]", "a source must say `labels: file, folder or topic`"),
        ("sources: [{labels: /truth, sort: yolo}]", "has no meaning for sort; known are labels,"),
        ("sources: []\nscore: 1", "has no meaning for score; known are sources,"),
        ("sources: []\nsame_classes: [car]", "same_classes must be as `vehicle: "),
        ("sources: [{labels: /truth, names: no.txt}]", "names no.txt cannot be read"),
        ("sources: [", "cannot be read"),
        ("sources: [{labels: missing}]", "the bag has no such topic, and there is no such file"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, text, message):
    path = tmp_path / "labels.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_label_spec([str(path)], _TOPICS)
