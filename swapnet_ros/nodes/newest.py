"""The one place where a frame waits for its turn: a newer one takes it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class NewestSlot(Generic[Item]):
    """Keeps the newest item for one taker and counts the items that it replaced.

    `put`, `wake`, `close` and `dropped` may be called by any thread and never wait; `take` is for
    one thread, which sleeps until there is something to do.
    """

    def __init__(self, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._changed = threading.Condition()
        self._items: list[Item] = []  # none or one
        self._dropped = 0
        self._is_closed = False

    def __repr__(self) -> str:
        with self._changed:
            state = "closed" if self._is_closed else f"{len(self._items)} waiting"
            return f"<NewestSlot {state}, {self._dropped} dropped>"

    @property
    def dropped(self) -> int:
        """Items that nobody took: replaced by newer ones, or left when the slot closed."""
        with self._changed:
            return self._dropped

    def put(self, item: Item) -> None:
        """Keep `item` and drop the one that was waiting; after `close`, drop `item`."""
        with self._changed:
            if self._is_closed:
                self._dropped += 1
                return
            self._dropped += len(self._items)
            self._items = [item]
            self._changed.notify()

    def take(self, earliest_s: Callable[[], float]) -> Item | None:
        """Wait for an item and take it.

        Args:
            earliest_s: the clock's time before which nothing is taken; asked again after `wake`.

        Returns:
            The newest item at the time of taking, or None when the slot is closed.
        """
        with self._changed:
            while not self._is_closed:
                wait_s = earliest_s() - self._clock_s()
                if self._items and wait_s <= 0:
                    return self._items.pop()
                self._changed.wait(wait_s if self._items else None)
            return None

    def wake(self) -> None:
        """Let `take` ask for `earliest_s` again."""
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """Drop what waits and end `take`; a closed slot stays closed."""
        with self._changed:
            self._is_closed = True
            self._dropped += len(self._items)
            self._items = []
            self._changed.notify_all()
