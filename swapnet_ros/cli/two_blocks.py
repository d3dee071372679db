"""The plain two-block scheme, to compare with: everything is swapped in for every inference.

Two blocks are in memory at a time: while one computes, the next one is read. It runs on the same
core as any other plan, so that a comparison is one of plans and not of implementations.

Source:
    Wang et al., SwapNet, IEEE TMC 2024 (m = 2 blocks in memory).
"""

from __future__ import annotations

from itertools import count

from swapnet_core.atoms import outline_network
from swapnet_core.candidates import Candidate, evaluate
from swapnet_core.errors import BudgetTooSmallError
from swapnet_core.partition import Partition, join_up_to
from swapnet_core.sizes import format_size
from swapnet_core.specs import PAGE_BYTES, DeviceProfile, NetworkProfile, SwapPlan

_TARGETS = 16


def two_block_plan(profile: NetworkProfile, device: DeviceProfile, budget_bytes: int) -> SwapPlan:
    """Make the plan of the two-block scheme: two equal slots in turn, no choice of residents.

    Of several sizes of blocks, up to a slot, the one with the smallest predicted latency is taken.

    Args:
        profile: of the network.
        device: that it runs on.
        budget_bytes: ceiling for the slots, pinned layers, buffers and the activation peak.

    Raises:
        BudgetTooSmallError: the largest layer is larger than a slot; carries `needed_bytes`.
    """
    outline = outline_network(profile)
    fixed_bytes = outline.fixed_bytes + outline.pinned_bytes
    slot_bytes = (budget_bytes - fixed_bytes) // 2 // PAGE_BYTES * PAGE_BYTES
    largest_bytes = max((a.size_bytes for a in outline.atoms if not a.is_pinned), default=0)
    if largest_bytes > slot_bytes:
        needed_bytes = fixed_bytes + 2 * largest_bytes
        raise BudgetTooSmallError(
            f"two blocks at a time need {format_size(needed_bytes)}: the largest layer has "
            f"{format_size(largest_bytes)}, a slot {format_size(max(slot_bytes, 0))}",
            needed_bytes=needed_bytes,
            budget_bytes=budget_bytes,
        )
    sizes = (slot_bytes * number // _TARGETS for number in range(_TARGETS, 0, -1))
    partitions = [join_up_to(outline, device, size) for size in sizes if size >= largest_bytes]
    candidates = [_evaluate(partition, device, slot_bytes) for partition in partitions]
    return min(candidates, key=lambda candidate: candidate.rank).to_plan(device, budget_bytes)


def _evaluate(partition: Partition, device: DeviceProfile, slot_bytes: int) -> Candidate:
    turn = count()
    slots = [
        (0, 0) if run.is_pinned else _slot(next(turn) % 2 * slot_bytes, run.size_bytes)
        for run in partition.runs
    ]
    pinned = frozenset(index for index, run in enumerate(partition.runs) if run.is_pinned)
    return evaluate(partition, device, pinned, slots)


def _slot(begin: int, size_bytes: int) -> tuple[int, int]:
    return (begin, begin + size_bytes)
