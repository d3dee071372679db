"""What is wrong with a bag, as the report says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from swapnet_core.errors import SwapNetError


class BagError(SwapNetError):
    """A bag cannot be read or written at all; the message names it and says what helps."""


class ProblemKind(str, Enum):
    """What can be wrong with a bag of which something can be read."""

    NO_METADATA = "no_metadata"
    BAD_METADATA = "bad_metadata"
    MISSING_FILE = "missing_file"
    UNLISTED_FILE = "unlisted_file"
    UNREADABLE_FILE = "unreadable_file"
    TRUNCATED = "truncated"
    NO_INDEX = "no_index"
    DAMAGED = "damaged"
    UNKNOWN_TYPE = "unknown_type"
    UNREADABLE_MESSAGE = "unreadable_message"
    NO_IMAGES = "no_images"
    EMPTY_TOPIC = "empty_topic"
    UNDECODABLE_IMAGE = "undecodable_image"
    MIXED_ENCODINGS = "mixed_encodings"
    STAMPS_BACKWARDS = "stamps_backwards"
    NO_STAMP = "no_stamp"


@dataclass(frozen=True, slots=True, kw_only=True)
class BagProblem:
    """One kind of trouble with one topic or file of a bag; the rest of the bag was read.

    Attributes:
        kind: a word for programs.
        topic: the topic that it concerns; the file's name, or empty, where it concerns no topic.
        count: how often it was met: images, messages, files or chunks.
        sentence: what is wrong and what helps.
    """

    kind: ProblemKind
    topic: str
    count: int
    sentence: str


_SENTENCES: Mapping[ProblemKind, str] = {
    ProblemKind.NO_METADATA: "metadata.yaml is missing, so the storage files were read in the "
    "order of their names; `ros2 bag reindex` makes it anew",
    ProblemKind.BAD_METADATA: "metadata.yaml cannot be used ({detail}), so the storage files were "
    "read in the order of their names; `ros2 bag reindex` makes it anew",
    ProblemKind.MISSING_FILE: "{topic} is listed in metadata.yaml, but is not in the folder; copy "
    "it there",
    ProblemKind.UNLISTED_FILE: "{topic} is not listed in metadata.yaml; it was read after the "
    "others. If it belongs to another bag, move it away",
    ProblemKind.UNREADABLE_FILE: "nothing of {topic} can be read: {detail}",
    ProblemKind.TRUNCATED: "{topic} is cut off {detail}; every whole message before was read. The "
    "recorder was killed, or the copy is not whole: copy it again",
    ProblemKind.NO_INDEX: "{topic} has no index that can be used ({detail}), so it was read from "
    "its beginning to its end; `mcap recover` makes one",
    ProblemKind.DAMAGED: "{topic} is damaged ({detail}); the rest was read. Copy the bag again",
    ProblemKind.UNKNOWN_TYPE: "the {count} messages of {topic} cannot be read: {detail}. Record "
    "the bag as MCAP, which keeps the definitions",
    ProblemKind.UNREADABLE_MESSAGE: "{count} messages of {topic} do not fit their type and were "
    "left out (the first: {detail}); record it with the definitions it was sent with",
    ProblemKind.NO_IMAGES: "no topic has images (sensor_msgs/msg/Image or CompressedImage); "
    "{detail}",
    ProblemKind.EMPTY_TOPIC: "{topic} has no images; was the camera on while recording?",
    ProblemKind.UNDECODABLE_IMAGE: "{count} images of {topic} cannot be decoded and were left out "
    "(the first, number {detail})",
    ProblemKind.MIXED_ENCODINGS: "the images of {topic} are {detail}; each was decoded as it says "
    "itself. If that is not meant, two cameras publish there",
    ProblemKind.STAMPS_BACKWARDS: "{count} images of {topic} have an earlier stamp than the one "
    "before ({detail}); near ones were put in order, others came as recorded. Is the "
    "camera's clock set back, or a loop recorded?",
    ProblemKind.NO_STAMP: "{count} images of {topic} have no stamp; the time of recording was used",
}


@dataclass(slots=True)
class _Tally:
    count: int = 0
    detail: str = ""


@dataclass(slots=True)
class ProblemTally:
    """Counts problems in one pass over a bag."""

    _found: dict[tuple[ProblemKind, str], _Tally] = field(default_factory=dict)

    def add(self, kind: ProblemKind, topic: str, *, detail: str = "", count: int = 1) -> None:
        """Count a problem; the first one's detail is kept."""
        tally = self._found.setdefault((kind, topic), _Tally(detail=detail))
        tally.count += count

    def put(self, kind: ProblemKind, topic: str, *, detail: str, count: int) -> None:
        """Set a problem that is known as a whole."""
        self._found[kind, topic] = _Tally(count=count, detail=detail)

    def update(self, newer: ProblemTally) -> None:
        """Take over what another pass found; of the same problem, the larger count."""
        for key, tally in newer._found.items():
            if tally.count >= self._found.get(key, _Tally()).count:
                self._found[key] = tally

    def problems(self) -> tuple[BagProblem, ...]:
        """What was found so far, in the order of the kinds, then of topics."""
        order = list(ProblemKind)
        keys = sorted(self._found, key=lambda key: (order.index(key[0]), key[1]))
        return tuple(self._problem(kind, topic) for kind, topic in keys)

    def _problem(self, kind: ProblemKind, topic: str) -> BagProblem:
        tally = self._found[kind, topic]
        sentence = _SENTENCES[kind].format(topic=topic, count=tally.count, detail=tally.detail)
        return BagProblem(kind=kind, topic=topic, count=tally.count, sentence=sentence)
