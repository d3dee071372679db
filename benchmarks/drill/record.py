"""What was seen in a drill: what cameras sent, what nodes answered, what the process held."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from drill.process_figures import Holdings
from drill.troubles import Shot


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One message of a camera; times in nanoseconds since the epoch."""

    sent_ns: int
    stamp_ns: int
    kind: Shot


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One result of a node.

    Attributes:
        node: its name.
        topic: where it was published.
        camera: the `frame_id` in its header.
        stamp_ns: the stamp in its header.
        began_ns: when the node began to work on the image; None for messages that tell no times.
    """

    node: str
    topic: str
    camera: str
    stamp_ns: int
    began_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreFigures:
    """What the core told once per second; `peak_bytes` is the most since the budget was set."""

    budget_bytes: int
    leased_bytes: int
    peak_bytes: int


class SentLog:
    """What one camera sent, in order of time; frozen once it is made."""

    def __init__(self, sent: Iterable[Sent]) -> None:
        self.sent = tuple(sent)
        self._times_ns = [each.sent_ns for each in self.sent]
        usable = [each for each in self.sent if each.kind is not Shot.BROKEN]
        self._usable_times_ns: dict[int, list[int]] = {}
        for each in usable:
            self._usable_times_ns.setdefault(each.stamp_ns, []).append(each.sent_ns)

    def __repr__(self) -> str:
        return f"<SentLog {len(self.sent)} messages>"

    @staticmethod
    def read(path: Path) -> SentLog:
        """Read the log of `drill.camera`; a camera that never started has sent nothing."""
        lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
        fields = (line.split() for line in lines)
        return SentLog(
            Sent(sent_ns=int(sent), stamp_ns=int(stamp), kind=Shot(kind))
            for sent, stamp, kind in fields
        )

    def count(self, kind: Shot) -> int:
        """How many messages of a kind were sent."""
        return sum(each.kind is kind for each in self.sent)

    def has(self, stamp_ns: int) -> bool:
        """Whether a usable image with this stamp was sent."""
        return stamp_ns in self._usable_times_ns

    def sent_before(self, stamp_ns: int, time_ns: int) -> int:
        """When the image of this stamp was sent, the last time before some time."""
        times_ns = self._usable_times_ns[stamp_ns]
        return times_ns[max(0, bisect_right(times_ns, time_ns) - 1)]

    def newest_before(self, time_ns: int) -> int:
        """When the newest message before some time was sent, usable or not; 0: there was none."""
        index = bisect_right(self._times_ns, time_ns)
        return self._times_ns[index - 1] if index else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """All that a drill has shown.

    Attributes:
        scenario: its name.
        demand_bytes: of the networks, with everything in memory.
        max_age_s: the nodes' parameter.
        duration_s: how long the cameras ran.
        topics: result topics by node.
        sent: by camera.
        heard: results in order of arrival.
        counts: the nodes' own counts of frames, after they were deactivated.
        silences_s: longest silence that diagnostics told, by node and camera.
        core: one per second.
        holdings: of the process, one per second.
        kills: of camera processes.
        returns_ns: when each killed or restarted camera got a new process, by camera.
        problems: errors that were reported or seen meanwhile.
    """

    scenario: str
    demand_bytes: int
    max_age_s: float
    duration_s: float
    topics: Mapping[str, Sequence[str]]
    sent: Mapping[str, SentLog]
    heard: Sequence[Heard]
    counts: Mapping[str, Mapping[str, int]]
    silences_s: Mapping[tuple[str, str], float]
    core: Sequence[CoreFigures]
    holdings: Sequence[Holdings]
    kills: int
    returns_ns: Mapping[str, Sequence[int]]
    problems: Sequence[str]
