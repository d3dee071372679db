"""Names of images, by which labels in files are found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from swapnet_ros.evaluation.truth.text_files import read_table
from swapnet_ros.perception.errors import LabelsError

IMAGE_SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"))


def without_suffix(name: str) -> str:
    """An image's name or path without the suffix of an image file; others stay."""
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in IMAGE_SUFFIXES else str(path)


def by_short_name(names: Sequence[str]) -> dict[str, str]:
    """Names by themselves, and by what stands behind their last slash where only one has that."""
    short: dict[str, list[str]] = {}
    for name in names:
        short.setdefault(PurePosixPath(name).name, []).append(name)
    found = {key: given[0] for key, given in short.items() if len(given) == 1}
    return found | {name: name for name in names}


def images_in(folder: Path) -> tuple[str, ...]:
    """Names of the images in a folder without their suffixes, sorted by file name.

    That is their order in a bag that is made from the folder.
    """
    files = sorted(folder.iterdir(), key=lambda path: path.name)
    return tuple(path.stem for path in files if path.suffix.lower() in IMAGE_SUFFIXES)


def read_stamps(path: Path) -> dict[int, str]:
    """Read which image has which stamp.

    Args:
        path: a CSV file with the columns `stamp_ns` and `file`; it may have more.

    Returns:
        Names of images by their stamps in nanoseconds.

    Raises:
        LabelsError: the file cannot be read, lacks a column, or a stamp is no whole number.
    """
    stamps = {}
    for number, row in enumerate(read_table(path, "stamp_ns", "file"), start=2):
        try:
            stamps[int(row["stamp_ns"])] = row["file"].strip()
        except ValueError as error:
            message = f"{path}:{number}: the stamp is no whole number of nanoseconds: {error}"
            raise LabelsError(message, path=path) from error
    return stamps
