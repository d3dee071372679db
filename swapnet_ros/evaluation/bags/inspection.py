"""Checks a bag: reads all of it, decodes every image, and says what is there and what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from swapnet_ros.evaluation.bags.problems import BagProblem
from swapnet_ros.evaluation.bags.reader import BagReader


@dataclass(slots=True)
class _Span:
    count: int = 0
    first_ns: int = 0
    last_ns: int = 0

    def add(self, stamp_ns: int) -> None:
        self.first_ns = min(self.first_ns, stamp_ns) if self.count else stamp_ns
        self.last_ns = max(self.last_ns, stamp_ns)
        self.count += 1

    @property
    def duration_s(self) -> float:
        return (self.last_ns - self.first_ns) / 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicInfo:
    """One topic of a bag.

    Attributes:
        topic: its name.
        type: of its messages.
        message_count: as the bag's files state it.
        image_count: images that can be decoded; None for topics without images.
        image_format: their encoding and size; empty for topics without images.
        duration_s: from the earliest image's stamp to the latest's; 0 for topics without images.
        rate_hz: images per second in that time; 0 where there are fewer than two.
    """

    topic: str
    type: str
    message_count: int
    image_count: int | None = None
    image_format: str = ""
    duration_s: float = 0.0
    rate_hz: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BagInfo:
    """What a bag holds.

    Attributes:
        path: the bag.
        files: names of its storage files.
        size_bytes: of these files together.
        topics: sorted by name.
        problems: all that is wrong.
    """

    path: Path
    files: tuple[str, ...]
    size_bytes: int
    topics: tuple[TopicInfo, ...]
    problems: tuple[BagProblem, ...]


def inspect_bag(reader: BagReader, progress: Callable[[int], None]) -> BagInfo:
    """Read a bag to its end.

    Args:
        reader: an open bag.
        progress: is told after each image how many were read.
    """
    spans = {topic: _Span() for topic in reader.image_topics}
    for done, frame in enumerate(reader.frames(), start=1):
        spans[frame.topic].add(frame.stamp_ns)
        progress(done)
    for topic in reader.topics.keys() - spans.keys():
        for _ in reader.messages(topic):
            continue  # that it can be read is what is looked for
    return BagInfo(
        path=reader.path,
        files=tuple(file.name for file in reader.files),
        size_bytes=sum(file.stat().st_size for file in reader.files),
        topics=tuple(_topic_info(reader, topic, spans.get(topic)) for topic in reader.topics),
        problems=reader.problems,
    )


def _topic_info(reader: BagReader, topic: str, span: _Span | None) -> TopicInfo:
    facts = {
        "topic": topic,
        "type": reader.topics[topic],
        "message_count": reader.message_count(topic),
    }
    if span is None:
        return TopicInfo(**facts)
    rate_hz = (span.count - 1) / span.duration_s if span.duration_s > 0 else 0.0
    return TopicInfo(
        image_count=span.count,
        image_format=reader.image_format(topic),
        duration_s=span.duration_s,
        rate_hz=rate_hz,
        **facts,
    )
