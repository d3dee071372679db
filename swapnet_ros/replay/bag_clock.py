"""The bag's time as `/clock` tells it, and how fast it runs."""

from __future__ import annotations

_NS_PER_S = 1e9


class BagClock:
    """One play's time. Use from one thread.

    It stands still before the first message. `ros2 bag play` lets it run while it waits with
    `--delay`, and then sets it back to the bag's beginning: only then the play has begun.

    Attributes:
        now_ns: as it was told last; 0 before that.
        began_s: `time.monotonic()` when it began to run; None before that.
    """

    def __init__(self) -> None:
        self.now_ns = 0
        self.began_s: float | None = None
        self._began_ns = 0
        self._heard_s = 0.0

    def __repr__(self) -> str:
        return f"<BagClock at {self.now_ns} ns>"

    def hear(self, now_ns: int, at_s: float) -> None:
        """Take what was told.

        Args:
            now_ns: the bag's time.
            at_s: `time.monotonic()` then.
        """
        if now_ns == self.now_ns:
            return
        if now_ns < self.now_ns or (self.now_ns and self.began_s is None):
            self.began_s, self._began_ns = at_s, now_ns
        self.now_ns, self._heard_s = now_ns, at_s

    @property
    def rate(self) -> float | None:
        """Bag seconds per second, so far; None before the time runs."""
        passed_s = 0.0 if self.began_s is None else self._heard_s - self.began_s
        if not passed_s:
            return None
        return (self.now_ns - self._began_ns) / _NS_PER_S / passed_s
