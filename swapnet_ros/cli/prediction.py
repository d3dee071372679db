"""Predict what a plan takes on a machine that is faster or slower than when it was made. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from swapnet_core.atoms import part_compute_s
from swapnet_core.specs import NO_STEP, DeviceProfile, NetworkProfile, NetworkTrace, SwapPlan
from swapnet_core.timeline import Uses, find_gates, simulate


def predict_latency_s(
    plan: SwapPlan, profile: NetworkProfile, device: DeviceProfile, *, compute_s: float
) -> float:
    """Simulate one inference among many, back to back.

    Args:
        plan: of the network.
        profile: of the network; its compute times are scaled.
        device: storage, and what reads cost compute.
        compute_s: of one inference with everything in memory.

    Returns:
        The latency; with the profile's own compute time, what the planner predicted.
    """
    scale = compute_s / profile.trace.compute_s
    head_s, *uses_s = (duration_s * scale for duration_s in _compute_by_use(plan, profile))
    slots = [(b.slot_offset_bytes, b.slot_offset_bytes + b.size_bytes) for b in plan.blocks]
    gates, in_place = find_gates(plan.uses, slots)
    read_s = [
        0.0 if stays else device.read_s(plan.blocks[block].size_bytes)
        for block, stays in zip(plan.uses, in_place, strict=True)
    ]
    uses = Uses(read_s=read_s, compute_s=uses_s, gates=gates, head_compute_s=head_s)
    return simulate(uses, compute_slowdown=device.compute_slowdown, wake_s=device.wake_s).latency_s


def _compute_by_use(plan: SwapPlan, profile: NetworkProfile) -> list[float]:
    """Return compute before the first use, and after each one up to the next."""
    compute_s = [profile.trace.head_compute_s]
    for step in range(len(profile.trace.steps)):
        for use, duration_s in _entered(plan, profile.trace, step):
            if use == len(compute_s) - 1:
                compute_s.append(0.0)
            compute_s[-1] += duration_s
    return compute_s


def _entered(plan: SwapPlan, trace: NetworkTrace, step: int) -> Iterator[tuple[int, float]]:
    """List the uses that a step enters, or `NO_STEP`, and its compute after each."""
    use = plan.step_uses[step]
    tile = None if use == NO_STEP else plan.blocks[plan.uses[use]].tile
    if tile is None:
        yield use, part_compute_s(trace, step, None)
        return
    tiles = [
        (block.tile.rows, block.tile, block.is_resident)
        for block in plan.blocks
        if block.tile is not None and block.tile.weight == tile.weight
    ]
    for _, part, is_resident in sorted(tiles, key=lambda each: each[0]):
        yield NO_STEP if is_resident else use, part_compute_s(trace, step, part)
        use += not is_resident
