from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from swapnet_ros.evaluation.truth.class_files import ClassesFromNames, ClassTable
from swapnet_ros.evaluation.truth.coco import CocoFile
from swapnet_ros.evaluation.truth.errors import TruthError
from swapnet_ros.evaluation.truth.label_files import KINDS, find_kind, open_label_files
from swapnet_ros.evaluation.truth.masks import LaneMaskFolder, MaskFolder
from swapnet_ros.evaluation.truth.tusimple import TuSimpleFile
from swapnet_ros.evaluation.truth.voc import VocFolder
from swapnet_ros.perception.errors import LabelsError

_COCO = {
    "images": [
        {"id": 7, "file_name": "left/a.1.jpg", "width": 20, "height": 10},
        {"id": 8, "file_name": "b.jpg", "width": 20, "height": 10},
    ],
    "categories": [{"id": 3, "name": "car"}, {"id": 9, "name": "bus"}],
    "annotations": [
        {"image_id": 7, "category_id": 9, "bbox": [1, 2, 3, 4]},
        {"image_id": 7, "category_id": 3, "bbox": [0, 0, 9, 9], "iscrowd": 1},
    ],
}
_VOC = """<annotation><size><width>20</width><height>10</height></size>
<object><name>car</name><difficult>{difficult}</difficult>
<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>20</xmax><ymax>10</ymax></bndbox></object>
</annotation>"""


def _corners(box) -> tuple[float, ...]:
    return box.x_min, box.y_min, box.x_max, box.y_max


def test_coco(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(_COCO))

    files = CocoFile(path)

    assert files.names == ("b", "left/a.1")
    first, second = files.read("left/a.1").boxes.boxes
    assert (first.label, _corners(first)) == ("bus", (1, 2, 4, 6))
    assert (first.is_crowd, second.is_crowd) == (False, True)
    assert files.read("b").boxes.boxes == ()  # looked at, and nothing there
    assert files.read("b").boxes.labels == ("car", "bus")
    assert (files.read("b").boxes.width, files.read("c")) == (20, None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is no JSON"),
        ("[]", "is no COCO file"),
        ('{"images": []}', "categories"),
        (json.dumps({**_COCO, "annotations": [{"image_id": 7, "category_id": 1}]}), "is no COCO"),
    ],
)
def test_broken_coco_files_are_named(tmp_path, content, words):
    path = tmp_path / "labels.json"
    path.write_text(content)

    with pytest.raises(LabelsError, match=words) as caught:
        CocoFile(path)
    assert str(path) in str(caught.value)


def test_voc(tmp_path):
    (tmp_path / "a.xml").write_text(_VOC.format(difficult=0))
    (tmp_path / "b.xml").write_text(_VOC.format(difficult=1).replace("<width>20", "<width>0"))

    files = VocFolder(tmp_path)

    (box,) = files.read("a").boxes.boxes
    assert (box.label, _corners(box), box.is_ignored) == ("car", (0, 1, 20, 10), False)
    assert (files.read("a").boxes.width, files.read("a").boxes.height) == (20, 10)
    assert files.read("b").boxes.boxes[0].is_ignored
    assert files.read("b").boxes.width is None  # some programs write 0
    assert (files.names, files.read("c")) == (("a", "b"), None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("<annotation>", "is no VOC file"),
        ("<annotation><object><name>a</name></object></annotation>", "no bndbox/xmin"),
        (_VOC.format(difficult=0).replace("<xmin>1<", "<xmin>one<"), "could not convert"),
        (_VOC.format(difficult=0).replace("<xmin>1<", "<xmin>30<"), "impossible edges"),
        ("<!DOCTYPE a><annotation/>", "DOCTYPE"),
    ],
)
def test_broken_voc_files_are_named(tmp_path, content, words):
    (tmp_path / "a.xml").write_text(content)

    with pytest.raises(LabelsError, match=words) as caught:
        VocFolder(tmp_path).read("a")
    assert "a.xml" in str(caught.value)


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_masks_of_numbers(tmp_path, mode):
    numbers = np.array([[0, 1], [2, 200]], np.uint16 if mode == "I;16" else np.uint8)
    image = Image.fromarray(numbers)
    if mode == "P":
        image = Image.fromarray(numbers, mode="L")
        image.putpalette(list(range(256)) * 3)
    image.save(tmp_path / "a_ids.png")

    files = MaskFolder(tmp_path, labels=["road", "car"], suffix="_ids")

    assert files.names == ("a",)
    np.testing.assert_array_equal(files.read("a").mask.class_map, numbers)
    assert files.read("a").mask.labels == ("road", "car")
    assert files.read("b") is None


def test_masks_of_colours_and_broken_ones_are_refused(tmp_path):
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"\x89PNG")
    files = MaskFolder(tmp_path, labels=["road"])

    with pytest.raises(LabelsError, match=r"a\.png has colours \(RGB\)"):
        files.read("a")
    with pytest.raises(LabelsError, match=r"b\.png cannot be read"):
        files.read("b")
    with pytest.raises(LabelsError, match=r"classes\.txt cannot be read"):
        MaskFolder(tmp_path)


def test_masks_of_lanes(tmp_path):
    numbers = np.zeros((72, 128), np.uint8)
    numbers[40:, 30:32] = 20
    numbers[:, 90] = 70
    Image.fromarray(numbers).save(tmp_path / "a.png")

    lanes = LaneMaskFolder(tmp_path).read("a").lanes

    assert lanes.columns.shape == (2, 72)
    np.testing.assert_array_equal(lanes.columns[:, [39, 40]], [[np.nan, 31], [90.5, 90.5]])
    np.testing.assert_array_equal(lanes.scored, np.arange(16, 72))
    assert (lanes.width, lanes.height, lanes.rows[0]) == (128, 72, 0.5)


def test_a_table_of_classes(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("file,label,note\na.jpg,sea,\nb.jpg,,unclear\na.jpg,mountain,\n")

    files = ClassTable(path)

    assert files.names == ("a",)
    assert files.read("a").classes.names == ("sea", "mountain")
    assert files.read("b") is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "must begin with a line"),
        ("name,label\na,b\n", "'file,label'"),
        ("file,label\na.jpg\n", ":2: a value is missing"),
    ],
)
def test_broken_tables_are_named(tmp_path, content, words):
    path = tmp_path / "labels.csv"
    path.write_text(content)

    with pytest.raises(LabelsError, match=words):
        ClassTable(path)


def test_classes_in_file_names(tmp_path):
    (tmp_path / "sea").mkdir()
    for name in ("c1_x.png", "sea/one.JPG", "c0_y.jpg", "notes.txt"):
        (tmp_path / name).touch()

    numbers = ClassesFromNames(tmp_path, r"c(?P<label>\d+)_", labels=["stop", "yield"])
    folders = ClassesFromNames(tmp_path, r"^(?P<label>[^/]+)/")

    assert numbers.read("c1_x").classes.names == ("yield",)
    assert numbers.names == ("c0_y", "c1_x")
    assert folders.read("sea/one").classes.names == ("sea",)
    assert folders.read("c0_y") is None


@pytest.mark.parametrize(
    ("pattern", "labels", "words"),
    [
        ("(", (), "is no regular expression"),
        ("c", (), r"group \(\?P<label>"),
        ("(?P<label>z)", (), "fits the name of no image"),
        (r"c(?P<label>\d)", ("stop",), "gives the class '1'"),
    ],
)
def test_patterns_that_do_not_fit(tmp_path, pattern, labels, words):
    (tmp_path / "c1.png").touch()

    with pytest.raises(TruthError, match=words):
        ClassesFromNames(tmp_path, pattern, labels=labels)


def test_tusimple(tmp_path):
    path = tmp_path / "label.json"
    lines = [
        {"raw_file": "clips/1/20.jpg", "h_samples": [160, 170, 180], "lanes": [[-2, 5, 6]]},
        {"raw_file": "clips/2/20.jpg", "h_samples": [160, 170], "lanes": []},
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")

    files = TuSimpleFile(path)

    lanes = files.read("clips/1/20").lanes
    np.testing.assert_array_equal(lanes.columns, [[np.nan, 5, 6]])
    np.testing.assert_array_equal(lanes.rows[lanes.scored], [160, 170, 180])
    assert files.read("clips/2/20").lanes.columns.shape == (0, 2)
    assert files.read("clips/3/20") is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", ":1: this line is no label"),
        ('{"raw_file": "a.jpg", "h_samples": [1, 2], "lanes": [[1]]}', "has not 2 columns"),
        ('{"raw_file": "a.jpg", "h_samples": [2, 1], "lanes": []}', "rows that rise"),
        ('{"raw_file": "a.jpg", "lanes": []}', "h_samples"),
    ],
)
def test_broken_lines_of_tusimple_are_named(tmp_path, line, words):
    path = tmp_path / "label.json"
    path.write_text(line)

    with pytest.raises(LabelsError, match=words):
        TuSimpleFile(path)


def test_the_kind_is_seen(tmp_path):
    for name, content in {
        "coco.json": json.dumps(_COCO, indent=1),
        "flat.json": json.dumps(_COCO),
        "lanes.json": '{"raw_file": "a", "h_samples": [1], "lanes": []}\n',
        "classes.csv": "file,label\na,b\n",
        "yolo/a.txt": "",
        "yolo/classes.txt": "car\n",
        "voc/a.xml": "",
        "masks/a.png": "",
        "masks/classes.txt": "road\n",
        "both/a.xml": "",
        "both/a.txt": "",
        "none/a.jpg": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)

    kinds = {name: find_kind(tmp_path / name) for name in ("coco.json", "flat.json", "lanes.json")}
    assert kinds == {"coco.json": "coco", "flat.json": "coco", "lanes.json": "tusimple"}
    assert find_kind(tmp_path / "classes.csv") == "class_table"
    assert [find_kind(tmp_path / name) for name in ("yolo", "voc", "masks")] == [
        "yolo",
        "voc",
        "masks",
    ]
    for name, words in {
        "both": "yolo and voc labels; say which",
        "none": "no known labels; say which",
        "absent.txt": "no known labels",
    }.items():
        with pytest.raises(TruthError, match=words):
            find_kind(tmp_path / name)


def test_every_kind_can_be_opened(tmp_path):
    (tmp_path / "coco.json").write_text(json.dumps(_COCO))
    (tmp_path / "lanes.json").write_text("")
    (tmp_path / "classes.csv").write_text("file,label\na,b\n")
    (tmp_path / "c1.png").touch()
    paths = {"coco": "coco.json", "tusimple": "lanes.json", "class_table": "classes.csv"}

    for kind in KINDS:
        files = open_label_files(
            tmp_path / paths.get(kind, ""),
            kind=kind,
            labels=["stop", "go"],
            pattern=r"c(?P<label>\d)",
        )
        assert isinstance(files.names, tuple)
    with pytest.raises(TruthError, match="no labels of kind 'kitti'; there are coco"):
        open_label_files(tmp_path, kind="kitti")
