"""What an earlier sitting recorded, frame by frame, also where its bag was not ended."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from swapnet_ros.evaluation.bags.mcap_scan import McapScan
from swapnet_ros.evaluation.bags.problems import BagError, ProblemKind
from swapnet_ros.evaluation.bags.raw_message import RawMessage


class EarlierFrames(AbstractContextManager["EarlierFrames"]):
    """The recorded messages in the order in which they were written. Use from one thread.

    Of a bag whose process was killed the last messages are missing. So its last frame counts as
    not there: nobody can tell whether it is whole. Of a damaged one nothing is used.
    """

    def __init__(self, file: Path) -> None:
        """Look what the file holds; one that is missing, or no MCAP file, holds nothing."""
        self._messages: Iterator[RawMessage] = iter(())
        self._is_whole = False
        self._next: RawMessage | None = None
        try:
            scan = McapScan(file)
        except BagError:  # killed before its first bytes: these frames are analysed again
            return
        kinds = {kind for kind, _, _ in scan.problems()}
        if ProblemKind.DAMAGED not in kinds:
            self._is_whole = not kinds
            self._messages = scan.messages([each.topic for each in scan.topics])
            self._next = next(self._messages, None)

    def take(self, time_ns: int, nodes: Collection[str]) -> tuple[RawMessage, ...]:
        """Return the messages of the next frame; none where it is not, or not surely, there.

        Args:
            time_ns: of its recording.
            nodes: names of the tasks that look at it.
        """
        found: dict[str, RawMessage] = {}
        while (
            self._next is not None
            and self._next.time_ns == time_ns
            and self._next.topic not in found  # of another frame of that time
            and self._next.topic.split("/")[1] in nodes
        ):
            found[self._next.topic] = self._next
            self._next = next(self._messages, None)
        is_whole = self._next is not None or self._is_whole
        return tuple(found.values()) if is_whole else ()

    def close(self) -> None:
        """Close the file; may be called again."""
        self._messages, self._next = iter(()), None

    def __exit__(self, *_: object) -> None:
        self.close()
