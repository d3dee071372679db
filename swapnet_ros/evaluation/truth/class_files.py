"""Labels that are classes of whole images: in a table, or in the names of the images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from swapnet_ros.evaluation.truth.errors import TruthError
from swapnet_ros.evaluation.truth.frame import TruthClasses, TruthFrame
from swapnet_ros.evaluation.truth.image_names import IMAGE_SUFFIXES, without_suffix
from swapnet_ros.evaluation.truth.text_files import read_table


class ClassTable:
    """Classes from a CSV file. An image without a line, or without a class, is not labelled.

    Threads: any thread may call any method; the object never changes.
    """

    def __init__(self, path: Path) -> None:
        """Read the file.

        Args:
            path: has the columns `file` and `label`; of several lines with one file each class is
                right. Other columns are not read.

        Raises:
            LabelsError: the file cannot be read, or lacks one of the columns.
        """
        classes: dict[str, list[str]] = {}
        for row in read_table(path, "file", "label"):
            if label := row["label"].strip():
                classes.setdefault(without_suffix(row["file"].strip()), []).append(label)
        self._labels = tuple(sorted({label for labels in classes.values() for label in labels}))
        self._classes = classes
        self.names = tuple(sorted(classes))

    def read(self, name: str) -> TruthFrame | None:
        """The class of an image, given its name without suffix."""
        classes = self._classes.get(name)
        if classes is None:
            return None
        return TruthFrame(classes=TruthClasses(names=tuple(classes), labels=self._labels))


class ClassesFromNames:
    """Classes that stand in the images' names, such as the 14 of `gtsrb_c14_00093.png`.

    Threads: any thread may call any method; the object never changes.
    """

    def __init__(self, folder: Path, pattern: str, *, labels: Sequence[str] = ()) -> None:
        r"""Look what the folder holds.

        Args:
            folder: of the images; sub-folders are looked into.
            pattern: a regular expression with a group `label`, searched in the image's path below
                the folder: `gtsrb_c(?P<label>\d+)_`, or `^(?P<label>[^/]+)/` for folders that
                have the classes' names.
            labels: names of classes that the pattern gives as numbers; empty where it gives names.

        Raises:
            TruthError: the pattern is no such expression, fits no image, or gives a number without
                a name.
        """
        try:
            expression = re.compile(pattern)
            expression.groupindex["label"]
        except (re.error, KeyError) as error:
            raise TruthError(
                f"'{pattern}' is no regular expression with a group (?P<label>...): {error}"
            ) from error
        images = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        self._classes: dict[str, str] = {}
        for image in images:
            name = image.relative_to(folder).with_suffix("").as_posix()
            if found := expression.search(name):
                self._classes[name] = _class_name(found["label"], labels, name)
        if not self._classes:
            raise TruthError(f"'{pattern}' fits the name of no image in {folder}")
        self._labels = tuple(labels) or tuple(sorted(set(self._classes.values())))
        self.names = tuple(sorted(self._classes))

    def read(self, name: str) -> TruthFrame | None:
        """The class of an image, given its name without suffix."""
        label = self._classes.get(name)
        if label is None:
            return None
        return TruthFrame(classes=TruthClasses(names=(label,), labels=self._labels))


def _class_name(found: str, labels: Sequence[str], image: str) -> str:
    if not labels:
        return found
    if not found.isdecimal() or int(found) >= len(labels):
        raise TruthError(
            f"the name of {image} gives the class '{found}', but there are names for 0 to "
            f"{len(labels) - 1}"
        )
    return labels[int(found)]
