"""What no plan can be faster than, whatever it does. Pure.

[Note: stretches]
`max(compute, bytes / bandwidth)` looks at an inference as a whole. But a stretch of it whose
weights are larger than the memory cannot have been read before it begins: at its start memory
holds at most the room that there is, and the rest is read while it runs. A network whose weights
lie in a few layers at its end (VGG) stalls there by any plan.
"""

from __future__ import annotations

from collections.abc import Iterator

from swapnet_core.specs import NetworkProfile


def least_stall_s(
    profile: NetworkProfile,
    *,
    room_bytes: int,
    read_bandwidth_bytes_per_s: float,
    compute_scale: float = 1.0,
) -> float:
    """Bound from below how long compute waits in one inference; see [Note: stretches].

    Args:
        profile: of the network.
        room_bytes: for slots, residents and streamed ones together.
        read_bandwidth_bytes_per_s: of the storage.
        compute_scale: by which compute takes longer than when it was traced.

    Returns:
        Seconds; 0 where reads can always run ahead.
    """
    trace = profile.trace
    pinned_bytes = sum(
        cell.size_bytes
        for cell in profile.cells
        if any(trace.layers[layer].is_pinned for layer in range(*cell.layers))
    )
    room_s = (room_bytes - pinned_bytes) / read_bandwidth_bytes_per_s
    compute_s = read_s = 0.0
    lead_s = 0.0  # the least of read_s - compute_s at any start so far
    stall_s = 0.0
    for size_bytes, duration_s, is_tileable in _steps(profile):
        lead_s = min(lead_s, read_s - compute_s)
        read_s += size_bytes / read_bandwidth_bytes_per_s
        # A layer that can be tiled needs its last bytes only at its end.
        until_s = compute_s + duration_s * compute_scale * is_tileable
        stall_s = max(stall_s, read_s - until_s - room_s - lead_s)
        compute_s += duration_s * compute_scale
    return stall_s


def _steps(profile: NetworkProfile) -> Iterator[tuple[int, float, bool]]:
    """Give for each step the bytes that it is the first to use, its compute, if it can be tiled."""
    trace = profile.trace
    cell_of = {layer: cell for cell in profile.cells for layer in range(*cell.layers)}
    seen = set()
    for layer, duration_s in zip(trace.steps, trace.step_compute_s, strict=True):
        cell = cell_of[layer]
        is_new = cell.offset_bytes not in seen
        seen.add(cell.offset_bytes)
        is_pinned = any(trace.layers[other].is_pinned for other in range(*cell.layers))
        size_bytes = cell.size_bytes if is_new and not is_pinned else 0
        yield size_bytes, duration_s, trace.layers[layer].tile_unit_rows > 0
