"""Looks at the images of one pass over a bag: what is odd about a topic as a whole."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from swapnet_ros.evaluation.bags.problems import ProblemKind, ProblemTally

_SHOWN = 4  # of several encodings or sizes


class ImageWatch:
    """Counts the images of each topic and tells a tally what is wrong. Use from one thread."""

    def __init__(self, tally: ProblemTally) -> None:
        self._tally = tally
        self._counts: Counter[str] = Counter()
        self._last_ns: dict[str, int] = {}
        self._largest_step_ns: Counter[str] = Counter()
        self._backwards: Counter[str] = Counter()
        self._encodings: dict[str, Counter[str]] = defaultdict(Counter)
        self._sizes: dict[str, Counter[str]] = defaultdict(Counter)

    def next_index(self, topic: str) -> int:
        """Return the position of a topic's next image."""
        index = self._counts[topic]
        self._counts[topic] += 1
        return index

    def see_message(self, topic: str, message: Any) -> int:
        """Note how an image is encoded, and return its stamp in nanoseconds, 0 where it has none.

        Args:
            topic: where it was published.
            message: a `sensor_msgs` image, raw or compressed.
        """
        encoding = getattr(message, "encoding", None) or message.format
        self._encodings[topic][encoding] += 1
        stamp = message.header.stamp
        return stamp.sec * 1_000_000_000 + stamp.nanosec

    def see_stamp(self, topic: str, stamp_ns: int) -> None:
        """Note the stamp that an image goes by."""
        step_ns = self._last_ns.get(topic, stamp_ns) - stamp_ns
        self._last_ns[topic] = stamp_ns
        if step_ns > 0:
            self._backwards[topic] += 1
            self._largest_step_ns[topic] = max(self._largest_step_ns[topic], step_ns)

    def see_size(self, topic: str, *, width: int, height: int) -> None:
        """Note the size of a decoded image."""
        self._sizes[topic][f"{width}x{height}"] += 1

    def encoding(self, topic: str) -> str:
        """The encodings of a topic's images, with their counts where there are several."""
        return _listed(self._encodings.get(topic, Counter()))

    def size(self, topic: str) -> str:
        """The sizes of a topic's images, with their counts where there are several."""
        return _listed(self._sizes.get(topic, Counter()))

    def report(self) -> None:
        """Tell the tally what concerns topics as a whole."""
        for topic, count in self._backwards.items():
            detail = f"by {self._largest_step_ns[topic] / 1e9:.6g} s at most"
            self._tally.put(ProblemKind.STAMPS_BACKWARDS, topic, detail=detail, count=count)
        for topic, values in self._encodings.items():
            if len(values) > 1:
                detail, count = _listed(values), len(values)
                self._tally.put(ProblemKind.MIXED_ENCODINGS, topic, detail=detail, count=count)


def _listed(values: Counter[str]) -> str:
    if len(values) < 2:
        return "".join(values)
    shown = [f"{value} ({count})" for value, count in sorted(values.items())]
    more = [f"{len(shown) - _SHOWN} more"] if len(shown) > _SHOWN else []
    return ", ".join(shown[:_SHOWN] + more)
