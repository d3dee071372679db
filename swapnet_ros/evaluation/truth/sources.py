"""The labels of all cameras of a bag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from swapnet_ros.evaluation.truth.frame import TruthFrame
from swapnet_ros.evaluation.truth.meetings import TruthReport


class FrameLabels(Protocol):
    """The labels of one topic of images, from one place."""

    def find(self, stamp_ns: int, *, name: str, index: int | None) -> TruthFrame | None:
        """The labels of one frame; None where it has none."""

    def report(self) -> TruthReport:
        """How frames and labels met so far."""


class TruthSource:
    """The labels of all cameras. Use from one thread, in the order of stamps."""

    def __init__(self, labels: Mapping[str, Sequence[FrameLabels]]) -> None:
        """Take the labels of each topic of images: where several have the same kind, the first."""
        self._labels = {topic: tuple(given) for topic, given in labels.items()}

    def find(
        self, topic: str, stamp_ns: int, *, name: str = "", index: int | None = None
    ) -> TruthFrame | None:
        """Everything that is labelled in one frame.

        Args:
            topic: of the image.
            stamp_ns: of the image.
            name: of the image's file, with or without suffix, where it is known.
            index: position among the images of the topic, from 0.

        Returns:
            The labels; None where nobody has labelled the frame, or what there is cannot be read.
        """
        found = [
            each.find(stamp_ns, name=name, index=index) for each in self._labels.get(topic, ())
        ]
        frame: TruthFrame | None = None
        for part in found:
            if part is not None:
                frame = part if frame is None else frame.with_parts_of(part)
        return frame

    def reports(self) -> dict[str, tuple[TruthReport, ...]]:
        """How frames and labels met so far, by topic of images, in the order given."""
        return {
            topic: tuple(each.report() for each in labels) for topic, labels in self._labels.items()
        }
