"""Class names: from a file, or the ones of COCO."""

from __future__ import annotations

from pathlib import Path

from swapnet_ros.perception.errors import LabelsError

_COCO_CLASSES = 80


def read_labels(path: Path, *, count: int | None = None) -> tuple[str, ...]:
    """Read class names, one per line.

    Args:
        path: a text file; white space around names and empty lines at its end do not count.
        count: number of classes that the network has; None where any number will do.

    Returns:
        The names by class id.

    Raises:
        LabelsError: the file cannot be read, is empty, has an empty line between names, or another
            number of names than `count`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelsError(f"labels file {path} cannot be read: {error}", path=path) from error
    names = tuple(line.strip() for line in text.rstrip().splitlines())
    if not names:
        raise LabelsError(f"labels file {path} is empty", path=path)
    if "" in names:
        raise LabelsError(f"labels file {path} has an empty line {names.index('') + 1}", path=path)
    if count is not None and len(names) != count:
        raise LabelsError(
            f"labels file {path} has {len(names)} names, but the network has {count} classes; "
            "give one name per line and class",
            path=path,
        )
    return names


def torchvision_labels(name: str) -> tuple[str, ...]:
    """The categories that a torchvision network was published with, the background first."""
    # its import takes seconds, and files of names are also read without networks
    from torchvision.models import get_model_weights

    return tuple(get_model_weights(name).DEFAULT.meta["categories"])


def default_labels(classes: int) -> tuple[str, ...]:
    """Names where none are given: those of COCO for 80 classes, else `class_0`, `class_1`..."""
    if classes != _COCO_CLASSES:
        return tuple(f"class_{number}" for number in range(classes))
    categories = torchvision_labels("fasterrcnn_resnet50_fpn")
    return tuple(name for name in categories if name not in ("__background__", "N/A"))
