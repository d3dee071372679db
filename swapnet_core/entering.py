"""Which access enters which use of a plan, and at which ones a plan may change. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from swapnet_core.specs import NO_STEP, NetworkProfile, NetworkTrace, SwapPlan


def find_boundaries(trace: NetworkTrace) -> tuple[bool, ...]:
    """Mark the accesses that begin a step; see [Note: moves] in `planned_access.py`."""
    if any(layer.is_pinned for layer in trace.layers):
        return (False,) * (len(trace.accesses) + 1)
    steps = (NO_STEP, *trace.access_steps)
    return (*(one != other for one, other in itertools.pairwise(steps)), False)


def find_place(
    entering: Sequence[int], profile: NetworkProfile, plan: SwapPlan, cursor: int
) -> tuple[int, int]:
    """Find where in a plan an inference goes on.

    Returns:
        The use that has to be entered now, or `NO_STEP`; and the first use that is still to come.
        A use lasts until the next one: where it began before the cursor, with accesses to come
        after some of residents, no later access would enter it.
    """
    for later in range(cursor, len(entering) - 1):
        step = profile.trace.access_steps[later]
        use = plan.step_uses[step] if step != NO_STEP else NO_STEP
        if use != NO_STEP:
            return (NO_STEP if entering[later] == use else use), use
    return NO_STEP, len(plan.uses)


def find_entries(access_steps: Sequence[int], step_uses: Sequence[int]) -> tuple[int, ...]:
    """Mark the accesses at which another use must be entered."""
    entries = []
    current = NO_STEP
    for step in access_steps:
        use = step_uses[step] if step != NO_STEP else NO_STEP
        enters = use not in (NO_STEP, current)
        entries.append(use if enters else NO_STEP)
        current = use if enters else current
    return (*entries, NO_STEP)


def find_work(
    can_move: Sequence[bool], entering: Sequence[int], growing: Sequence[int]
) -> tuple[bool, ...]:
    """Mark the accesses before which anything may have to be done.

    The others are to be answered by little code: operators push it out of the processor's caches,
    so that it comes from memory every time.

    Args:
        can_move: see `find_boundaries`.
        entering: see `find_entries`.
        growing: not 0 where room must be made; empty for nowhere.
    """
    growing = growing or (0,) * len(entering)
    return tuple(
        moves or use != NO_STEP or growth != 0
        for moves, use, growth in zip(can_move, entering, growing, strict=True)
    )
