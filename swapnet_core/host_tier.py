"""A second tier: part of what is streamed lies in pinned host memory, the rest on storage. Pure.

[Note: two speeds]
Whole requests are chosen, spread evenly over the bytes in order of use, so that every stretch of an
inference has about the same share h of its bytes in host memory. All bytes go over the bus, and
1 - h of them come from storage first, beside the copies of others: so blocks arrive at
min(storage / (1 - h), bus). Plans are made as for storage of that bandwidth. How much is streamed
depends on the plan, and h on that, so plans are made twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from swapnet_core.requests import cut_evenly
from swapnet_core.specs import PAGE_BYTES, DeviceProfile, SwapPlan

_ROUNDS = 2

PlanFor = Callable[[DeviceProfile], list[SwapPlan]]
"""Makes plans for all networks on a device."""

Place = tuple[int, int]
"""A request: its block, and its first byte in it."""


def plan_beside_host(
    plan_for: PlanFor, device: DeviceProfile, host_budget_bytes: int
) -> list[SwapPlan]:
    """Plan networks that have some host memory for what they stream; see [Note: two speeds].

    Args:
        plan_for: makes their plans.
        device: with the speed of storage.
        host_budget_bytes: for all networks together; 0: there is no such tier.

    Returns:
        Plans whose `host_bytes` are within that together.
    """
    plans = plan_for(device)
    if not host_budget_bytes:
        return plans
    for _ in range(_ROUNDS):
        plans = plan_for(device.with_host_share(_share(plans, host_budget_bytes)))
    share = _share(plans, host_budget_bytes)
    return [
        replace(plan, host_bytes=int(_streamed_bytes(plan) * share) // PAGE_BYTES * PAGE_BYTES)
        for plan in plans
    ]


def host_share(plans: Sequence[SwapPlan]) -> float:
    """Tell which share of what is streamed has a place in host memory."""
    streamed_bytes = sum(_streamed_bytes(plan) for plan in plans)
    return sum(plan.host_bytes for plan in plans) / streamed_bytes if streamed_bytes else 0.0


def choose_places(plan: SwapPlan, request_bytes: int) -> dict[Place, tuple[int, int]]:
    """Choose which requests of a plan have their place in host memory.

    Args:
        plan: its `host_bytes` are not passed.
        request_bytes: the most that a request has; see `cut_evenly`.

    Returns:
        `(begin, end)` of each of them in that memory.
    """
    places: dict[Place, tuple[int, int]] = {}
    streamed_bytes = _streamed_bytes(plan)
    passed_bytes = taken_bytes = 0
    for block in dict.fromkeys(plan.uses):
        for offset_bytes, size_bytes in cut_evenly(plan.blocks[block].size_bytes, request_bytes):
            passed_bytes += size_bytes
            due_bytes = passed_bytes * plan.host_bytes // streamed_bytes
            if taken_bytes + size_bytes <= due_bytes:
                places[block, offset_bytes] = taken_bytes, taken_bytes + size_bytes
                taken_bytes += size_bytes
    return places


def _share(plans: Sequence[SwapPlan], host_budget_bytes: int) -> float:
    streamed_bytes = sum(_streamed_bytes(plan) for plan in plans)
    return min(1.0, host_budget_bytes / streamed_bytes) if streamed_bytes else 0.0


def _streamed_bytes(plan: SwapPlan) -> int:
    """Bytes of the streamed blocks, each once."""
    return sum(plan.blocks[block].size_bytes for block in set(plan.uses))
