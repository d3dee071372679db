"""Memory is kept from going over what is leased: room is made before steps that take much.

[Note: room for a step]
malloc keeps what is freed, and takes new memory where no hole is large enough. What it will keep
is chance (see [Note: activations] in `tracer.py`), so a share of what is live is counted for it.
Where that share does not do, what it keeps is returned in front of a large step whose activations
could lead beyond the lease. That costs page faults afterwards. So where what is kept may do, or
where it would be little, a step is left to the holes until that was once too much; and is so again
when the heap has been put in order, see [Note: plugs] in `heap_plugs.py`. Small steps find holes,
or miss by little: to make room for them, too, costs most in a heap full of holes, where it helps
least.
"""

from __future__ import annotations

from collections.abc import Sequence

from swapnet_core.heap_watch import HeapWatch
from swapnet_core.sizes import MIB
from swapnet_core.specs import NO_STEP, NetworkTrace, SwapPlan

_LEAST_GROWTH_BYTES = 16 * MIB
"""Smaller steps are left alone."""


class HeapGuard:
    """Looks after malloc during a network's inferences on the CPU. For one thread."""

    def __init__(self, trace: NetworkTrace, heap: HeapWatch) -> None:
        self._trace = trace
        self._heap = heap
        self._growths_bytes: Sequence[int] = ()
        self._needing: set[int] = set()
        self._left_to_holes: int | None = None
        self._epoch = heap.epoch

    def follow(self, plan: SwapPlan) -> Sequence[int]:
        """Look after inferences by this plan from now on.

        Returns:
            For every access a number, not 0 where `before` must be called.
        """
        self._growths_bytes = _find_growths(self._trace, plan)
        self._needing.clear()
        self._left_to_holes = None
        return self._growths_bytes

    def before(self, access: int) -> None:
        """Make room for the step that begins with an access, if one does."""
        growth_bytes = self._growths_bytes[access]
        if not growth_bytes:
            return
        if self._epoch != self._heap.epoch:
            self._epoch = self._heap.epoch
            self._needing.clear()
        elif self._left_to_holes is not None and self._heap.notices_too_much():
            self._needing.add(self._left_to_holes)
        is_left = self._heap.make_room(
            live_bytes=self._trace.step_live_bytes[self._trace.access_steps[access]],
            growth_bytes=growth_bytes,
            may_wait=access not in self._needing,
        )
        self._left_to_holes = access if is_left else None

    def __repr__(self) -> str:
        return f"<HeapGuard of {sum(map(bool, self._growths_bytes))} steps>"


def _find_growths(trace: NetworkTrace, plan: SwapPlan) -> tuple[int, ...]:
    """Return for every access what the step takes that it begins; 0 for little, and for none."""
    cut = {block.tile.weight for block in plan.blocks if block.tile is not None}
    growths = [0] * (len(trace.accesses) + 1)
    current = NO_STEP
    for access, step in enumerate(trace.access_steps):
        if step in (NO_STEP, current):
            continue
        current = step
        is_cut = not cut.isdisjoint(trace.layers[trace.steps[step]].weights)
        growth_bytes = (trace.step_tile_growth_bytes if is_cut else trace.step_growth_bytes)[step]
        if growth_bytes >= _LEAST_GROWTH_BYTES:
            growths[access] = growth_bytes
    return tuple(growths)
