"""Labels of COCO: one JSON file for all images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swapnet_ros.evaluation.truth.frame import LabelledBox, TruthBoxes, TruthFrame
from swapnet_ros.evaluation.truth.image_names import without_suffix
from swapnet_ros.evaluation.truth.text_files import read_json
from swapnet_ros.perception.errors import LabelsError


class CocoFile:
    """The boxes of all images that the file lists; one without annotations shows nothing.

    Threads: any thread may call any method; the object never changes.
    """

    def __init__(self, path: Path) -> None:
        """Read the file.

        Args:
            path: has `images`, `annotations` and `categories`; masks and key points in it are
                not read.

        Raises:
            LabelsError: the file cannot be read, or is not of that form.
        """
        content = read_json(path)
        try:
            categories = {each["id"]: str(each["name"]) for each in content["categories"]}
            boxes: dict[Any, list[LabelledBox]] = defaultdict(list)
            for each in content["annotations"]:
                boxes[each["image_id"]].append(_box(each, categories))
            labels = tuple(categories.values())
            self._frames = {
                without_suffix(image["file_name"]): _frame(image, boxes[image["id"]], labels)
                for image in content["images"]
            }
        except (KeyError, TypeError, ValueError) as error:
            found = f"{type(error).__name__} {error}"
            raise LabelsError(
                f"{path} is no COCO file of boxes, with 'images', 'annotations' and 'categories': "
                f"{found}",
                path=path,
            ) from error
        self.names = tuple(sorted(self._frames))

    def read(self, name: str) -> TruthFrame | None:
        """The labels of an image, given its `file_name` without suffix."""
        return self._frames.get(name)


def _box(annotation: Mapping[str, Any], categories: Mapping[Any, str]) -> LabelledBox:
    x, y, width, height = (float(value) for value in annotation["bbox"])
    return LabelledBox(
        label=categories[annotation["category_id"]],
        x_min=x,
        y_min=y,
        x_max=x + width,
        y_max=y + height,
        is_crowd=bool(annotation.get("iscrowd", 0)),
    )


def _frame(
    image: Mapping[str, Any], boxes: list[LabelledBox], labels: tuple[str, ...]
) -> TruthFrame:
    return TruthFrame(
        boxes=TruthBoxes(
            boxes=tuple(boxes),
            labels=labels,
            width=float(image["width"]),
            height=float(image["height"]),
        )
    )
