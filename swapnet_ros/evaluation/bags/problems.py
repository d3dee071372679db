"""What is wrong with a bag, as the report says it."""

from __future__ import annotations

from dataclasses import dataclass

from swapnet_core.errors import SwapNetError


class BagError(SwapNetError):
    """A bag cannot be read or written at all; the message names it and says what helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BagProblem:
    """One kind of trouble with one topic of a bag; the rest of the bag was read.

    Attributes:
        kind: a word for programs, e.g. `truncated`.
        topic: the topic that it concerns; empty where it concerns the bag.
        count: how often it was met.
        sentence: what is wrong and what helps.
    """

    kind: str
    topic: str
    count: int
    sentence: str
