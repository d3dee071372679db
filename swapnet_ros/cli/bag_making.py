"""`swapnet bag SOURCE --out BAG`: a bag of a video, a folder of images or a camera."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from swapnet_core.errors import InputError
from swapnet_ros.cli.images_bar import images_bar
from swapnet_ros.evaluation.bags.image_sources import ImageSource
from swapnet_ros.evaluation.bags.making import BagOptions, MadeBag, make_bag
from swapnet_ros.evaluation.truth.file_truth import FileTruth
from swapnet_ros.evaluation.truth.label_files import open_label_files


def make_and_tell(
    images: ImageSource, path: Path, options: BagOptions, labels: FileTruth | None, *, as_json: bool
) -> bool:
    """Make a bag, with a progress bar, and tell what came of it.

    Args:
        images: the source.
        path: of the bag's folder.
        options: how to make it.
        labels: the images' labels; None without labels.
        as_json: print JSON instead of sentences.

    Returns:
        Whether some image has labels, where labels were given.

    Raises:
        BagError: the bag cannot be written, or the source gives no image.
        LabelsError: a label file cannot be read.
    """
    with images_bar() as progress:
        task = progress.add_task("images", total=options.image_count or images.image_count)
        made = make_bag(
            images,
            path,
            options,
            labels=labels,
            progress=lambda done: progress.update(task, completed=done),
        )
    if as_json:
        print(json.dumps(asdict(made) | {"path": str(made.path)}, indent=2))
    else:
        _show_made(made, options, with_labels=labels is not None)
    return labels is None or made.labelled_count > 0


def open_labels(path: Path, kind: str | None, names: str | None) -> FileTruth:
    """Open the labels of images that are found by their names.

    Args:
        path: file or folder.
        kind: one of `KINDS`; None to see what is there.
        names: of classes by number, with commas; None as they stand by the labels.

    Raises:
        LabelsError: there are none, or they cannot be read.
    """
    given = () if names is None else tuple(name.strip() for name in names.split(","))
    return FileTruth(open_label_files(path, kind=kind, labels=given), tolerance_ns=0)


def checked_topic(topic: str) -> str:
    """Return a topic with its slash in front.

    Raises:
        InputError: ROS would not have such a name.
    """
    parts = topic.strip("/").split("/")
    if not all(part.isidentifier() and part.isascii() for part in parts):
        raise InputError(
            f"'{topic}' is no name of a topic: it has letters, digits and _ between slashes, "
            "and no digit right behind one"
        )
    return "/" + "/".join(parts)


def _show_made(made: MadeBag, options: BagOptions, *, with_labels: bool) -> None:
    how = "stopped; " if made.is_interrupted else ""
    print(
        f"{how}{made.path}: {made.image_count} images on {made.topic}, {made.duration_s:.3f} s long"
    )
    if with_labels:
        print(f"{made.labelled_count} of them have labels, on topics below {options.labels_topic}")
    if made.ignored_boxes:
        print(
            f"{made.ignored_boxes} boxes are marked as not to count (difficult, or a crowd), which "
            "messages cannot say; they were left out: evaluate with the label files instead"
        )
