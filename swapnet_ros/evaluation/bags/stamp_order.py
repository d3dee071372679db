"""Puts items that come nearly in order of their stamps in order, with bounded memory."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar


class Stamped(Protocol):
    """Something with a stamp."""

    @property
    def stamp_ns(self) -> int:
        """When it was acquired."""

    @property
    def topic(self) -> str:
        """Where it was published."""


_Item = TypeVar("_Item", bound=Stamped)


def in_stamp_order(items: Iterable[_Item], *, window: int) -> Iterator[_Item]:
    """Yield items by stamp, then topic; equal ones in the order in which they came.

    An item that comes more than `window` items too late cannot be put in its place any more. It
    begins a new run: what waits is yielded first. So a clock that is set back, or a loop that was
    recorded, gives runs one after another, each in order, and not two that are mixed.

    Args:
        items: in the order of recording.
        window: most items that are held back.
    """
    waiting: list[tuple[int, str, int, _Item]] = []
    last_ns: int | None = None
    for number, item in enumerate(items):
        if last_ns is not None and item.stamp_ns < last_ns:
            while waiting:
                yield heapq.heappop(waiting)[-1]
            last_ns = None
        heapq.heappush(waiting, (item.stamp_ns, item.topic, number, item))
        if len(waiting) > window:
            earliest = heapq.heappop(waiting)
            last_ns = earliest[0]
            yield earliest[-1]
    while waiting:
        yield heapq.heappop(waiting)[-1]
