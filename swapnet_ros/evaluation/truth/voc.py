"""Labels of Pascal VOC: a folder with one XML file for each image."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from swapnet_ros.evaluation.truth.frame import LabelledBox, TruthBoxes, TruthFrame
from swapnet_ros.evaluation.truth.text_files import read_text
from swapnet_ros.perception.errors import LabelsError


class VocFolder:
    """The boxes of a folder's images. An image without a file counts as not labelled.

    Threads: any thread may call any method; the object never changes.
    """

    def __init__(self, folder: Path) -> None:
        """Look what the folder holds: `NAME.xml` for the image `NAME.jpg`."""
        self._folder = folder
        self.names = tuple(sorted(path.stem for path in folder.glob("*.xml")))

    def read(self, name: str) -> TruthFrame | None:
        """Read the labels of an image, given its name without suffix.

        Objects that are marked as difficult are ignored, as in VOC's own evaluation.

        Raises:
            LabelsError: the file cannot be read, or is not of VOC's form.
        """
        if name not in self.names:
            return None
        path = self._folder / f"{name}.xml"
        text = read_text(path)
        if "<!DOCTYPE" in text:  # entities could grow without end, and VOC has none
            raise LabelsError(f"{path} declares a DOCTYPE, which VOC files do not", path=path)
        try:
            root = ElementTree.fromstring(text)
            boxes = tuple(_box(each) for each in root.iter("object"))
            size = [float(root.findtext(f"size/{side}") or 0) for side in ("width", "height")]
        except (ElementTree.ParseError, ValueError) as error:
            raise LabelsError(f"{path} is no VOC file: {error}", path=path) from error
        width, height = size if min(size) > 0 else (None, None)
        return TruthFrame(boxes=TruthBoxes(boxes=boxes, width=width, height=height))


def _box(element: ElementTree.Element) -> LabelledBox:
    """An object; VOC counts pixels from 1, and its last ones belong to the box."""
    return LabelledBox(
        label=_text(element, "name"),
        x_min=float(_text(element, "bndbox/xmin")) - 1,
        y_min=float(_text(element, "bndbox/ymin")) - 1,
        x_max=float(_text(element, "bndbox/xmax")),
        y_max=float(_text(element, "bndbox/ymax")),
        is_ignored=(element.findtext("difficult") or "0").strip() == "1",
    )


def _text(element: ElementTree.Element, path: str) -> str:
    text = (element.findtext(path) or "").strip()
    if not text:
        raise ValueError(f"an object has no {path}")
    return text
