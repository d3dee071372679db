"""Label files of any kind."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from swapnet_ros.evaluation.truth.class_files import ClassesFromNames, ClassTable
from swapnet_ros.evaluation.truth.coco import CocoFile
from swapnet_ros.evaluation.truth.errors import TruthError
from swapnet_ros.evaluation.truth.frame import TruthFrame
from swapnet_ros.evaluation.truth.kinds import KINDS
from swapnet_ros.evaluation.truth.masks import LaneMaskFolder, MaskFolder
from swapnet_ros.evaluation.truth.text_files import read_text
from swapnet_ros.evaluation.truth.tusimple import TuSimpleFile
from swapnet_ros.evaluation.truth.voc import VocFolder
from swapnet_ros.evaluation.truth.yolo import YoloFolder, is_yolo_folder


class LabelFiles(Protocol):
    """Labels of images that are known by name."""

    names: tuple[str, ...]
    """Of the labelled images: their paths or file names, without suffix."""

    def read(self, name: str) -> TruthFrame | None:
        """The labels of an image; None where it has none."""


def open_label_files(
    path: Path,
    *,
    kind: str | None = None,
    labels: Sequence[str] = (),
    suffix: str = "",
    pattern: str = "",
) -> LabelFiles:
    """Open labels.

    Args:
        path: a file or a folder.
        kind: one of `KINDS`; None to see what is there. Lane masks have to be named.
        labels: names of the classes by number, for YOLO, masks and class numbers in file names.
        suffix: for masks: what stands behind an image's name in that of its mask.
        pattern: for classes in file names: see `ClassesFromNames`.

    Raises:
        TruthError: there is no such kind, or it cannot be told which one it is.
        LabelsError: a file cannot be read or has another form.
    """
    chosen = kind or ("class_names" if pattern else find_kind(path))
    if chosen == "yolo":
        return YoloFolder(path, labels=labels)
    if chosen == "masks":
        return MaskFolder(path, labels=labels, suffix=suffix)
    if chosen == "lane_masks":
        return LaneMaskFolder(path, suffix=suffix)
    if chosen == "class_names":
        return ClassesFromNames(path, pattern, labels=labels)
    plain = {
        "coco": CocoFile,
        "voc": VocFolder,
        "class_table": ClassTable,
        "tusimple": TuSimpleFile,
    }
    if chosen not in plain:
        raise TruthError(f"there are no labels of kind '{chosen}'; there are {', '.join(KINDS)}")
    return plain[chosen](path)


def find_kind(path: Path) -> str:
    """Tell which kind of labels a file or a folder holds.

    Raises:
        TruthError: it holds none or several.
        LabelsError: it cannot be read.
    """
    found = _kinds_of_folder(path) if path.is_dir() else _kinds_of_file(path)
    if len(found) == 1:
        return found[0]
    what = " and ".join(found) if found else "no known"
    raise TruthError(
        f"{path} holds {what} labels; say which kind is meant, one of {', '.join(KINDS)}"
    )


def _kinds_of_folder(folder: Path) -> list[str]:
    found = []
    if is_yolo_folder(folder):
        found.append("yolo")
    if any(folder.glob("*.xml")):
        found.append("voc")
    if not found and any(folder.glob("*.png")):
        found.append("masks")
    return found


def _kinds_of_file(path: Path) -> list[str]:
    if path.suffix.lower() == ".csv":
        return ["class_table"]
    if path.suffix.lower() not in (".json", ".jsonl"):
        return []
    first = next((line for line in read_text(path).splitlines() if line.strip()), "")
    try:
        label = json.loads(first)
    except json.JSONDecodeError:  # an object over several lines, which TuSimple never has
        return ["coco"]
    return ["tusimple" if isinstance(label, dict) and "h_samples" in label else "coco"]
