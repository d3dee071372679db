"""Makes a bag out of images and labels, with the list of which image has which stamp beside it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TextIO

from swapnet_ros.evaluation.bags.formats import IMAGE_LIST, BagStorage, ImageCompression
from swapnet_ros.evaluation.bags.image_sources import ImageSource, SourceImage
from swapnet_ros.evaluation.bags.label_messages import label_results
from swapnet_ros.evaluation.bags.problems import BagError
from swapnet_ros.evaluation.bags.writer import BagWriter
from swapnet_ros.evaluation.truth.file_truth import FileTruth
from swapnet_ros.evaluation.truth.frame import TruthFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class BagOptions:
    """How a bag is made.

    Attributes:
        topic: of the images; compressed ones go to `compressed` below it.
        frame_id: for the images' headers.
        storage: MCAP or SQLite.
        compression: None for raw images.
        image_count: how many images to write, starting the source over where it has fewer; None
            for those that it gives.
    """

    topic: str
    frame_id: str
    storage: BagStorage
    compression: ImageCompression | None
    image_count: int | None

    @property
    def labels_topic(self) -> str:
        """Where the labels go: topics below this name."""
        return f"{self.topic}/labels"

    @property
    def published_topic(self) -> str:
        """Where the images go."""
        return self.topic if self.compression is None else f"{self.topic}/compressed"


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeBag:
    """What was made.

    Attributes:
        path: the bag's folder.
        topic: where the images are.
        image_count: how many there are.
        labelled_count: how many of them have labels.
        ignored_boxes: labelled boxes that should not count and were left out, since no message can
            say that.
        duration_s: from the first stamp to the last.
        is_interrupted: somebody pressed Ctrl-C before the end.
    """

    path: Path
    topic: str
    image_count: int
    labelled_count: int
    ignored_boxes: int
    duration_s: float
    is_interrupted: bool


def make_bag(
    source: ImageSource,
    path: Path,
    options: BagOptions,
    *,
    labels: FileTruth | None,
    progress: Callable[[int], None],
) -> MadeBag:
    """Write a source's images into a new bag.

    Ctrl-C ends it early with a whole bag: that is how a camera is stopped.

    Args:
        source: gives the images.
        path: of the bag's folder; it must not exist.
        options: how to make it.
        labels: the images' labels, found by the images' names; None without labels.
        progress: is told after each image how many there are.

    Raises:
        BagError: the bag cannot be written, or the source gives no image.
        LabelsError: a label file cannot be read.
    """
    is_interrupted = False
    images = _wanted(source, options.image_count)
    first = next(images)  # before there is a bag: a source that gives nothing leaves none
    with (
        closing(images),
        BagWriter(path, storage=options.storage) as writer,
        (path / IMAGE_LIST).open("w", encoding="utf-8", newline="") as image_list,
    ):
        maker = _Maker(writer, image_list, options, labels)
        try:
            for image in chain((first,), images):
                maker.add(image)
                progress(maker.image_count)
        except KeyboardInterrupt:
            is_interrupted = True  # the caller tells whoever pressed it
    return MadeBag(
        path=path,
        topic=options.published_topic,
        image_count=maker.image_count,
        labelled_count=maker.labelled_count,
        ignored_boxes=maker.ignored_boxes,
        duration_s=maker.duration_s,
        is_interrupted=is_interrupted,
    )


class _Maker:
    """Adds images with their labels to a bag and its list. Use from one thread."""

    def __init__(
        self, writer: BagWriter, image_list: TextIO, options: BagOptions, labels: FileTruth | None
    ) -> None:
        self._writer = writer
        self._options = options
        self._labels = labels
        self._rows = csv.writer(image_list)
        self._rows.writerow(("stamp_ns", "file", "topic"))
        self._first_ns = self._last_ns = 0
        self.image_count = self.labelled_count = self.ignored_boxes = 0

    @property
    def duration_s(self) -> float:
        """From the first stamp to the last."""
        return (self._last_ns - self._first_ns) / 1e9

    def add(self, image: SourceImage) -> None:
        """Write an image, its labels and its row."""
        self._write_image(image)
        self._rows.writerow((image.stamp_ns, image.name, self._options.published_topic))
        self._first_ns, self._last_ns = self._first_ns or image.stamp_ns, image.stamp_ns
        self.image_count += 1
        if self._labels is None:
            return
        truth = self._labels.find(image.stamp_ns, name=image.name)
        if truth is not None:
            self._write_labels(truth, image)
            self.labelled_count += 1

    def _write_image(self, image: SourceImage) -> None:
        header = {"stamp_ns": image.stamp_ns, "frame_id": self._options.frame_id}
        topic, compression = self._options.published_topic, self._options.compression
        if compression is None:
            self._writer.write_image(topic, image.image, **header)
        elif image.data is not None and image.compression is compression:
            # as the file is: compressed once more, it would not be the same picture
            self._writer.write_compressed_data(topic, image.data, compression, **header)
        else:
            self._writer.write_compressed_image(topic, image.image, compression, **header)

    def _write_labels(self, truth: TruthFrame, image: SourceImage) -> None:
        height, width = image.image.shape[:2]
        labels = label_results(truth, width=width, height=height)
        for result in labels.results:
            self._writer.write_result(
                self._options.labels_topic,
                result,
                network="labels",
                stamp_ns=image.stamp_ns,
                frame_id=self._options.frame_id,
            )
        self.ignored_boxes += labels.ignored_boxes


def _wanted(source: ImageSource, image_count: int | None) -> Generator[SourceImage, None, None]:
    """Yield as many images as are wanted, at least one; a source that has fewer starts over.

    Raises:
        BagError: the source gives none.
    """
    given = 0
    while image_count is None or given < image_count:
        before = given
        for image in source.images(first=given):
            yield image
            given += 1
            if given == image_count:
                return
        if given == before:
            raise BagError("the source gives no image")
        if image_count is None:
            return
