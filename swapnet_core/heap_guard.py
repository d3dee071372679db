"""Memory is kept from going over what is leased: room is made before steps that take much.

[Note: room for a step]
malloc keeps what is freed, and takes new memory where no hole is large enough. What it will keep
is chance (see [Note: activations] in `tracer.py`), so a share of what is live is counted for it.
Where that share does not do, what it keeps is returned in front of a step whose activations could
lead beyond the lease. That costs page faults afterwards, so only then.
"""

from __future__ import annotations

from collections.abc import Sequence

from swapnet_core.memory import HeapWatch
from swapnet_core.sizes import MIB
from swapnet_core.specs import NO_STEP, NetworkTrace, SwapPlan

_LEAST_GROWTH_BYTES = MIB
"""Smaller steps are not looked at: looking costs microseconds."""


class HeapGuard:
    """Looks after malloc during a network's inferences on the CPU. For one thread."""

    def __init__(self, trace: NetworkTrace, heap: HeapWatch) -> None:
        self._trace = trace
        self._heap = heap
        self._growths_bytes: Sequence[int] = ()

    def follow(self, plan: SwapPlan) -> None:
        """Look after inferences by this plan from now on."""
        self._growths_bytes = _find_growths(self._trace, plan)

    def before(self, access: int) -> None:
        """Make room for the step that begins with an access, if one does."""
        growth_bytes = self._growths_bytes[access]
        if growth_bytes:
            self._heap.make_room(
                live_bytes=self._trace.step_live_bytes[self._trace.access_steps[access]],
                growth_bytes=growth_bytes,
            )

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
