"""Reads a bag: its images in stamp order, its labels, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from swapnet_ros.evaluation.bags.problems import BagProblem
from swapnet_ros.evaluation.bags.source_frame import SourceFrame


class BagReader(AbstractContextManager["BagReader"]):
    """Reads one bag, as a folder or as a single file. Use from one thread."""

    def __init__(self, path: Path) -> None:
        """Open the bag.

        Raises:
            BagError: there is no bag, or nothing of it can be read.
        """
        raise NotImplementedError

    @property
    def image_topics(self) -> Mapping[str, int]:
        """Topics with images, and how many messages each has; sorted by name."""
        raise NotImplementedError

    @property
    def topics(self) -> Mapping[str, str]:
        """Message type of every topic, e.g. `sensor_msgs/msg/Image`; sorted by name."""
        raise NotImplementedError

    @property
    def problems(self) -> tuple[BagProblem, ...]:
        """What was wrong so far; complete once `frames` and `messages` are exhausted."""
        raise NotImplementedError

    def frames(self, topics: Collection[str] = ()) -> Iterator[SourceFrame]:
        """Yield the images of some topics in the order of their stamps; no topics: of all.

        Images of equal stamps come in the order of topic names. Memory is bounded: a few
        images per topic. May be called again; each call starts at the bag's beginning.

        Raises:
            BagError: a topic is not in the bag or has no images.
        """
        raise NotImplementedError

    def messages(self, topic: str) -> Iterator[tuple[int, Any]]:
        """Yield stamp and message of one topic, in the order of recording.

        The stamp is the header's in nanoseconds, else the time of recording. A message has its
        fields as attributes, arrays of numbers are NumPy arrays.

        Raises:
            BagError: the topic is not in the bag, or its message type is not known.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close the bag; may be called again."""
        raise NotImplementedError

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
