"""What became of the images of one play in one task: every one of them accounted for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTotals:
    """A task node's counters, as its diagnostics tell them; `FrameCounts` has the words."""

    received: int = 0
    processed: int = 0
    dropped: int = 0
    rate_limited: int = 0
    without_boxes: int = 0
    refused: int = 0
    stale: int = 0
    late: int = 0
    failed: int = 0
    deadline_misses: int = 0
    inferences: int = 0
    bytes_read: int = 0
    faults: int = 0

    @classmethod
    def of(cls, values: Mapping[str, str]) -> TaskTotals:
        """Read the counters from a node's diagnostics; what is not there yet is 0."""
        return cls(**{each.name: int(values.get(each.name, 0)) for each in fields(cls)})

    @property
    def unfinished(self) -> int:
        """Images that wait for their turn, for boxes, or are in hand."""
        done = self.processed + self.dropped + self.refused + self.stale + self.late + self.failed
        return self.received - done

    def since(self, before: TaskTotals) -> TaskTotals:
        """What was added to earlier counters."""
        return TaskTotals(
            **{
                each.name: getattr(self, each.name) - getattr(before, each.name)
                for each in fields(self)
            }
        )


# Not for want of time: the user asked for the first, and the images themselves are bad.
_NO_FAULT_OF_SPEED = ("rate_limit", "refused")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameAccount:
    """The images of one play in one task: `played` is `published` and all drops together.

    Attributes:
        played: images that the player published on the task's topics.
        received: those that reached the node.
        published: those whose results the node published.
        drops: the others by cause.
    """

    played: int
    received: int
    published: int
    drops: Mapping[str, int]

    @property
    def drop_share(self) -> float:
        """Part of the images that were lost for want of time, 0..1.

        `rate_limit` is what the scenario asks for with `max_rate_hz`, and `refused` are images that
        cannot be used: neither counts.
        """
        lost = sum(self.drops.values()) - sum(self.drops[each] for each in _NO_FAULT_OF_SPEED)
        return lost / self.played if self.played else 0.0


def account(played: int, totals: TaskTotals, *, takes_boxes: bool) -> FrameAccount:
    """Account for the images of one play.

    Args:
        played: images on the task's topics.
        totals: the node's counters over the play, which is over.
        takes_boxes: the task waits for a detector's boxes. Its images that still wait then will
            get none.
    """
    without_boxes = totals.without_boxes + (totals.unfinished if takes_boxes else 0)
    drops = {
        "newest_wins": totals.dropped - totals.rate_limited - totals.without_boxes,
        "rate_limit": totals.rate_limited,
        "no_boxes": without_boxes,
        "max_age": totals.stale,
        "deadline": totals.late,
        "refused": totals.refused,
        "failed": totals.failed,
        "unfinished": 0 if takes_boxes else totals.unfinished,
        "lost_in_transport": played - totals.received,
    }
    return FrameAccount(
        played=played, received=totals.received, published=totals.processed, drops=drops
    )
