"""Labels of YOLO: a folder with one text file for each image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from swapnet_ros.evaluation.truth.frame import LabelledBox, TruthBoxes, TruthFrame
from swapnet_ros.evaluation.truth.text_files import read_text
from swapnet_ros.perception.errors import LabelsError
from swapnet_ros.perception.models.labels import read_labels

_NAME_LISTS = ("classes.txt", "obj.names", "_darknet.labels")
_DATA_FILES = ("data.yaml", "dataset.yaml")


class YoloFolder:
    """The boxes of a folder's images. An image without a file counts as not labelled.

    Threads: any thread may call any method; the object never changes.
    """

    def __init__(self, folder: Path, *, labels: Sequence[str] = ()) -> None:
        """Look what the folder holds.

        Args:
            folder: has `NAME.txt` for the image `NAME.jpg`; an empty file says that there is
                nothing.
            labels: class names by number; empty to take them from `classes.txt`, `obj.names` or
                `data.yaml` in the folder, or `data.yaml` beside it.

        Raises:
            LabelsError: no class names are there, or their file cannot be read.
        """
        self._folder = folder
        self._labels = tuple(labels) or _find_class_names(folder)
        self.names = tuple(sorted(path.stem for path in _label_files(folder)))

    def read(self, name: str) -> TruthFrame | None:
        """Read the labels of an image, given its name without suffix.

        Raises:
            LabelsError: the file cannot be read; the message names it and the line.
        """
        if name not in self.names:
            return None
        path = self._folder / f"{name}.txt"
        boxes = read_yolo_labels(path, names=self._labels, width=1, height=1)
        return TruthFrame(boxes=TruthBoxes(boxes=boxes, labels=self._labels, width=1, height=1))


def is_yolo_folder(folder: Path) -> bool:
    """Whether a folder has text files that may be labels."""
    return bool(_label_files(folder))


def read_yolo_labels(
    path: Path, *, names: Sequence[str], width: int, height: int
) -> tuple[LabelledBox, ...]:
    """Read one image's boxes from a YOLO text file.

    Args:
        path: lines of `class x y width height`, centre and size as shares of the image's.
        names: class names by the file's class numbers.
        width: pixels of the image.
        height: pixels of the image.

    Returns:
        The boxes in the order of the file; an empty file has none.

    Raises:
        LabelsError: the file cannot be read, or a line is not of that form; the message names it.
    """
    boxes = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            class_id, *shares = line.split()
            x, y, w, h = (float(share) for share in shares)
            box = LabelledBox(
                label=names[_class_number(class_id, len(names))],
                x_min=(x - w / 2) * width,
                y_min=(y - h / 2) * height,
                x_max=(x + w / 2) * width,
                y_max=(y + h / 2) * height,
            )
        except ValueError as error:
            message = f"{path}:{number}: '{line}' is not 'class x y width height': {error}"
            raise LabelsError(message, path=path) from error
        boxes.append(box)
    return tuple(boxes)


def _label_files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.txt") if path.name not in _NAME_LISTS]


def _class_number(text: str, count: int) -> int:
    number = int(text)
    if not 0 <= number < count:
        raise ValueError(f"there are only {count} classes")
    return number


def _find_class_names(folder: Path) -> tuple[str, ...]:
    for path in (folder / name for name in _NAME_LISTS):
        if path.is_file():
            return read_labels(path)
    for path in (place / name for place in (folder, folder.parent) for name in _DATA_FILES):
        if path.is_file():
            return _names_of_data(path)
    raise LabelsError(
        f"{folder} has no names of its classes: put a classes.txt into it, one name per line, or "
        "give the names",
        path=folder,
    )


def _names_of_data(path: Path) -> tuple[str, ...]:
    """The names in Ultralytics' description of a data set: a list, or a dict by number."""
    try:
        names = yaml.safe_load(read_text(path))["names"]
        found = [names[n] for n in range(len(names))]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        message = f"{path} has no 'names', a list or a dict by number: {error}"
        raise LabelsError(message, path=path) from error
    return tuple(str(name) for name in found)
