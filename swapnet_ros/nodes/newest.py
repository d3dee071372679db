"""The place where frames wait for their turn: of each camera the newest one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class NewestOfEach(Generic[Item]):
    """Keeps the newest item of each source for one taker and counts the items that it replaced.

    The source that has waited longest is served first, however often its item was replaced while it
    waited: a fast camera gets no more turns than a slow one.

    `put`, `wake`, `close` and `dropped` may be called by any thread and never wait; `take` is for
    one thread, which sleeps until there is something to do.
    """

    def __init__(self, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._changed = threading.Condition()
        # in the order in which the sources began to wait: replacing a value keeps its place
        self._items: dict[Hashable, Item] = {}
        self._dropped = 0
        self._dropped_at_rest = 0
        self._resting_until_s = float("-inf")  # while a taker waits for its next turn
        self._is_closed = False

    def __repr__(self) -> str:
        with self._changed:
            state = "closed" if self._is_closed else f"{len(self._items)} waiting"
            return f"<NewestOfEach {state}, {self._dropped} dropped>"

    @property
    def dropped(self) -> int:
        """Items that nobody took: replaced by newer ones, or left when the place closed."""
        with self._changed:
            return self._dropped

    @property
    def dropped_at_rest(self) -> int:
        """Those of them that came while the taker had to wait for its earliest time."""
        with self._changed:
            return self._dropped_at_rest

    def put(self, source: Hashable, item: Item) -> None:
        """Keep `item` and drop the source's waiting one; after `close`, drop `item`."""
        with self._changed:
            if self._is_closed:
                self._dropped += 1
                return
            if source in self._items:
                self._dropped += 1
                self._dropped_at_rest += self._clock_s() < self._resting_until_s
            self._items[source] = item
            self._changed.notify()

    def take(self, earliest_s: Callable[[], float]) -> Item | None:
        """Wait for an item and take it.

        Args:
            earliest_s: the clock's time before which nothing is taken; asked again after `wake`.

        Returns:
            The newest item, at the time of taking, of the source that has waited longest; None when
            the place is closed.
        """
        with self._changed:
            while not self._is_closed:
                self._resting_until_s = earliest_s()
                wait_s = self._resting_until_s - self._clock_s()
                if self._items and wait_s <= 0:
                    self._resting_until_s = float("-inf")
                    return self._items.pop(next(iter(self._items)))
                self._changed.wait(wait_s if self._items else None)
            return None

    def wake(self) -> None:
        """Let `take` ask for `earliest_s` again."""
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """Drop what waits and end `take`; a closed place stays closed."""
        with self._changed:
            self._is_closed = True
            self._dropped += len(self._items)
            self._items = {}
            self._changed.notify_all()
