"""Looks after what malloc keeps beside what is live, while networks run."""

from __future__ import annotations

import math
import time

from swapnet_core import memory
from swapnet_core.heap_plugs import HeapPlugs
from swapnet_core.sizes import MIB

_LEAST_PERIOD_S = 5.0
_SLACK_BYTES = 4 * MIB
"""Others take and give back as much all the time."""
_LITTLE_BYTES = 16 * MIB
"""By which a step may go beyond what is allowed, once, before room is made for it."""


class HeapWatch:
    """Returns malloc's free memory when more of it is kept than is leased for activations.

    One for all networks of a runtime, which run one after the other in one heap. For one thread.
    Between inferences the holes are taken, too, so that activations come to lie close together; see
    [Note: plugs]. What is returned has to be faulted in again. So between inferences that is done
    every few seconds at most, ever more rarely where it does not help, and in front of a step only
    where it might lead far beyond the lease.

    Attributes:
        epoch: another one when what holes did before says nothing any more.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self._plugs = HeapPlugs()
        self._after_return_bytes: int | None = None
        self._renewed_s = -math.inf
        self._period_s = _LEAST_PERIOD_S
        self._was_too_much = False
        self._allowed_bytes = 0

    def allow(self, size_bytes: int) -> None:
        """Let activations, and what is kept beside them, have so much from now on."""
        self._allowed_bytes = size_bytes
        memory.keep_at_heap_end(size_bytes + _SLACK_BYTES)

    def notices_too_much(self) -> bool:
        """Tell whether clearly more is held now than is allowed; `check` will see to it then."""
        last = self._after_return_bytes
        if last is None or memory.resident_bytes() - last <= self._allowed_bytes + _SLACK_BYTES:
            return False
        self._was_too_much = True
        return True

    def make_room(self, *, live_bytes: int, growth_bytes: int, may_wait: bool) -> bool:
        """Return malloc's free memory now, if what comes next may lead beyond what is allowed.

        Args:
            live_bytes: of activations, as far as is known.
            growth_bytes: the most that comes to it.
            may_wait: not where holes may do, or where it would be little.

        Returns:
            Whether it was left to the holes.
        """
        last = self._after_return_bytes
        if last is None:
            return False
        held_bytes = memory.resident_bytes() - last
        beyond_bytes = held_bytes + growth_bytes - self._allowed_bytes
        if beyond_bytes <= 0:
            return False
        is_kept = growth_bytes <= held_bytes - live_bytes
        is_usual = held_bytes <= self._allowed_bytes + _SLACK_BYTES
        if may_wait and ((is_kept and is_usual) or beyond_bytes <= _LITTLE_BYTES):
            return True
        memory.return_free_memory()
        # What others hold by now is theirs to keep, or it would be returned time and again.
        self._after_return_bytes = memory.resident_bytes() - live_bytes
        if self._after_return_bytes - last > _SLACK_BYTES:
            self.epoch += 1  # it was they who took so much
            self._was_too_much = False
        return False

    def expect_holes(self) -> None:
        """Take note that much came or went that is not activations: weights, kernels."""
        self._after_return_bytes = None

    def check(self) -> None:
        """Look at the process's private memory, at the beginning of an inference.

        At its end its output would be taken for what others hold.
        """
        last = self._after_return_bytes
        if last is not None:
            held_bytes = memory.resident_bytes()
            is_usual = -_SLACK_BYTES <= held_bytes - last <= self._allowed_bytes
            if is_usual and not self._was_too_much:
                self._plugs.line_up()
                return
            if time.monotonic() - self._renewed_s < self._period_s:
                self._plugs.line_up()
                self._after_return_bytes = min(last, held_bytes)
                return
        self._plugs.renew()
        self.epoch += 1
        self._renewed_s = time.monotonic()
        self._period_s = 2 * self._period_s if self._was_too_much else _LEAST_PERIOD_S
        self._was_too_much = False
        self._after_return_bytes = memory.resident_bytes()

    def close(self) -> None:
        """Leave the heap as it would be without. Idempotent."""
        self._plugs.remove()

    def __repr__(self) -> str:
        return f"<HeapWatch of {self._allowed_bytes} bytes, {self._plugs!r}>"
