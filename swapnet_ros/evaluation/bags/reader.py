"""Reads a bag: its images in stamp order, its labels, and what is wrong with it."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import Qos

from swapnet_ros.evaluation.bags.bag_folder import find_storage_files
from swapnet_ros.evaluation.bags.image_watch import ImageWatch
from swapnet_ros.evaluation.bags.message_types import COMPRESSED_IMAGE, IMAGE, types_of
from swapnet_ros.evaluation.bags.problems import BagError, BagProblem, ProblemKind, ProblemTally
from swapnet_ros.evaluation.bags.raw_message import RawMessage, uncompressed
from swapnet_ros.evaluation.bags.source_frame import SourceFrame
from swapnet_ros.evaluation.bags.stamp_order import in_stamp_order
from swapnet_ros.evaluation.bags.storage_file import StorageFile
from swapnet_ros.perception.errors import ImageMessageError
from swapnet_ros.perception.image_messages import decode_compressed, decode_raw

# Images held back for each topic until they are in order: enough for cameras whose drivers take
# some frame periods longer than others, and little enough for memory (they are not decoded yet).
_WINDOW = 4
_NAMED_TOPICS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredImage:
    """An image that is not decoded yet."""

    topic: str
    stamp_ns: int
    index: int
    message: Any


class BagReader(AbstractContextManager["BagReader"]):
    """Reads one bag, as a folder or as a single file: MCAP or SQLite. Use from one thread.

    What is wrong with a bag ends no reading: it stands in `problems`, and the rest is read.
    """

    def __init__(self, path: Path) -> None:
        """Open the bag.

        Raises:
            BagError: there is no bag, or nothing of it can be read.
        """
        self.path = path
        self._tally = ProblemTally()
        self._files: tuple[StorageFile, ...] = ()
        self._types: Mapping[str, str] = {}
        with ExitStack() as stack:
            self._files = self._open_files(stack)
            self._take_topics()
            self._stack = stack.pop_all()

    def __repr__(self) -> str:
        return f"<BagReader {self.path.name}, {len(self._files)} files, {len(self._types)} topics>"

    def _take_topics(self) -> None:
        stored = [topic for file in self._files for topic in file.topics]
        self._bag_types = types_of((each.type, each.definition) for each in stored)
        self._types = {each.topic: each.type for each in sorted(stored, key=lambda t: t.topic)}
        self._counts: Counter[str] = Counter()
        self._offered_qos: dict[str, tuple[Qos, ...]] = {}
        for each in stored:
            self._counts[each.topic] += each.message_count
            self._offered_qos[each.topic] = (
                *self._offered_qos.get(each.topic, ()),
                *each.offered_qos,
            )
        self._watch = ImageWatch(self._tally)
        self._unknown_topics = self._check_topics()

    @property
    def files(self) -> tuple[Path, ...]:
        """The storage files that are read, in order."""
        return tuple(file.path for file in self._files)

    @property
    def topics(self) -> Mapping[str, str]:
        """Message type of every topic, e.g. `sensor_msgs/msg/Image`; sorted by name."""
        return self._types

    @property
    def image_topics(self) -> Mapping[str, int]:
        """Topics with images, and how many messages each has; sorted by name."""
        kinds = (IMAGE, COMPRESSED_IMAGE)
        return {topic: self._counts[topic] for topic, kind in self._types.items() if kind in kinds}

    def message_count(self, topic: str) -> int:
        """Messages of a topic, as its files state it."""
        return self._counts[topic]

    def offered_qos(self, topic: str) -> tuple[Qos, ...]:
        """What a topic's publishers offered while it was recorded; empty where nobody noted it."""
        return self._offered_qos[topic]

    def image_format(self, topic: str) -> str:
        """Encodings and sizes of a topic's images, as the last pass of `frames` met them."""
        return f"{self._watch.encoding(topic)} {self._watch.size(topic)}".strip()

    @property
    def problems(self) -> tuple[BagProblem, ...]:
        """What was wrong so far; complete once `frames` and `messages` are exhausted."""
        return self._tally.problems()

    def frames(self, topics: Collection[str] = ()) -> Iterator[SourceFrame]:
        """Yield the images of some topics in the order of their stamps; no topics: of all.

        Images of equal stamps come in the order of topic names. Some images per topic are held
        back to put late ones in their place (`in_stamp_order` says how late); memory does not grow
        with the bag. May be called again; each call starts at the bag's beginning.

        Raises:
            BagError: a topic is not in the bag or has no images.
        """
        for topic in topics:
            self._check_is_among(topic, self.image_topics, "images")
        return self._frames(frozenset(topics or self.image_topics))

    def messages(self, topic: str) -> Iterator[tuple[int, Any]]:
        """Return stamps and messages of one topic, in the order of recording.

        The stamp is the header's in nanoseconds, else the time of recording. A message has its
        fields as attributes; arrays of numbers are NumPy arrays.

        Raises:
            BagError: the topic is not in the bag.
        """
        self._check_is_among(topic, self._types, "messages")
        return self._messages(topic)

    def stored_messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """Yield the messages of some topics as they are stored, in the order of recording.

        Raises:
            BagError: a topic is not in the bag.
        """
        for topic in topics:
            self._check_is_among(topic, self._types, "messages")
        return self._raw_messages(frozenset(topics), self._tally)

    def close(self) -> None:
        """Close the bag; may be called again."""
        self._stack.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_files(self, stack: ExitStack) -> tuple[StorageFile, ...]:
        files = []
        for path in find_storage_files(self.path, self._tally):
            try:
                file = StorageFile(path, self._tally)
            except BagError as error:
                self._tally.add(ProblemKind.UNREADABLE_FILE, path.name, detail=str(error))
                continue
            stack.callback(file.close)
            files.append(file)
        if not files:
            reasons = "; ".join(problem.sentence for problem in self.problems)
            raise BagError(f"nothing of {self.path} can be read: {reasons}")
        return tuple(files)

    def _check_topics(self) -> frozenset[str]:
        """Tell what is wrong with the topics; return those whose type is not known."""
        unknown = set()
        for topic, type_name in self._types.items():
            if self._counts[topic] and not self._bag_types.knows(type_name):
                unknown.add(topic)
                reason = self._bag_types.unreadable.get(type_name)
                detail = f"the bag has no definition of {type_name}"
                if reason is not None:
                    detail = f"the definition of {type_name} is not understood: {reason}"
                count = self._counts[topic]
                self._tally.put(ProblemKind.UNKNOWN_TYPE, topic, detail=detail, count=count)
        for topic, count in self.image_topics.items():
            if count == 0:
                self._tally.add(ProblemKind.EMPTY_TOPIC, topic)
        if not self.image_topics:
            named = [f"{topic} ({kind})" for topic, kind in self._types.items()][:_NAMED_TOPICS]
            detail = f"there are {', '.join(named)}" if named else "there are no topics at all"
            self._tally.put(ProblemKind.NO_IMAGES, "", detail=detail, count=1)
        return frozenset(unknown)

    def _check_is_among(self, topic: str, known: Collection[str], what: str) -> None:
        if topic not in known:
            close = difflib.get_close_matches(topic, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else "."
            raise BagError(
                f"{self.path} has no topic {topic} with {what}{hint} "
                f"Topics with {what}: {', '.join(known) or 'none'}"
            )

    def _frames(self, topics: frozenset[str]) -> Iterator[SourceFrame]:
        tally = ProblemTally()
        watch = self._watch = ImageWatch(tally)
        images = self._stored_images(topics, watch, tally)
        try:
            for image in in_stamp_order(images, window=_WINDOW * len(topics)):
                frame = _decode(image, tally)
                if frame is not None:
                    height, width = frame.image.shape[:2]
                    watch.see_size(frame.topic, width=width, height=height)
                    yield frame
        finally:
            watch.report()
            self._tally.update(tally)

    def _stored_images(
        self, topics: frozenset[str], watch: ImageWatch, tally: ProblemTally
    ) -> Iterator[_StoredImage]:
        for raw in self._raw_messages(topics, tally):
            index = watch.next_index(raw.topic)
            message = self._read(raw, tally)
            if message is None:
                continue
            stamp_ns = watch.see_message(raw.topic, message)
            if stamp_ns == 0:
                tally.add(ProblemKind.NO_STAMP, raw.topic)
                stamp_ns = raw.time_ns
            watch.see_stamp(raw.topic, stamp_ns)
            yield _StoredImage(topic=raw.topic, stamp_ns=stamp_ns, index=index, message=message)

    def _messages(self, topic: str) -> Iterator[tuple[int, Any]]:
        tally = ProblemTally()
        try:
            for raw in self._raw_messages(frozenset((topic,)), tally):
                message = self._read(raw, tally)
                if message is not None:
                    yield _stamp_ns(message) or raw.time_ns, message
        finally:
            self._tally.update(tally)

    def _raw_messages(self, topics: frozenset[str], tally: ProblemTally) -> Iterator[RawMessage]:
        for file in self._files:
            yield from file.messages(topics, tally)

    def _read(self, raw: RawMessage, tally: ProblemTally) -> Any:
        """Return the message; None where it is damaged, or its type is unknown."""
        if raw.topic in self._unknown_topics:
            return None  # told when the bag was opened
        try:
            return self._bag_types.store.deserialize_cdr(uncompressed(raw.data), raw.type)
        except Exception as error:  # rosbags' generated readers meet bytes of any kind
            reason = str(error) or type(error).__name__
            tally.add(ProblemKind.UNREADABLE_MESSAGE, raw.topic, detail=reason)
            return None


def _stamp_ns(message: Any) -> int:
    header = getattr(message, "header", None)
    return 0 if header is None else header.stamp.sec * 1_000_000_000 + header.stamp.nanosec


def _decode(image: _StoredImage, tally: ProblemTally) -> SourceFrame | None:
    message = image.message
    try:
        decode = decode_raw if hasattr(message, "encoding") else decode_compressed
        pixels = decode(message)
    except ImageMessageError as error:
        detail = f"{image.index}: {error}"
        tally.add(ProblemKind.UNDECODABLE_IMAGE, image.topic, detail=detail)
        return None
    # the message's bytes are read-only, and its rows may be padded
    writable = np.require(pixels, requirements=["C", "W"])
    return SourceFrame(
        topic=image.topic,
        stamp_ns=image.stamp_ns,
        frame_id=message.header.frame_id,
        image=writable,
        index=image.index,
    )
