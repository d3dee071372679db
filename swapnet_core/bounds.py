"""What no plan can be faster than, whatever it does. Pure.

[Note: stretches]
`max(compute, bytes / bandwidth)` looks at an inference as a whole. But a stretch of it whose
weights are larger than the memory cannot have been read before it begins: at its start memory
holds at most the room that there is, and the rest is read while it runs. A network whose weights
lie in a few layers at its end (VGG) stalls there by any plan.

[Note: tiles that must be]
A layer that is larger than the room runs by at least so many tiles as the room goes into it, and
each of them makes it longer (`NetworkTrace.step_tile_s`). A plan that reads a tile while another
one computes has twice as many.

[Note: reads beside compute]
Storage may be slower while the network computes, since both use memory and processors. In a stretch
with `compute` seconds of it and `stall` seconds without, no more can be read than
`compute * bandwidth beside compute + stall * bandwidth`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from swapnet_core.specs import NetworkProfile


def least_delay_s(
    profile: NetworkProfile,
    *,
    room_bytes: int,
    read_bandwidth_bytes_per_s: float,
    compute_scale: float = 1.0,
    share_beside_compute: float = 1.0,
) -> float:
    """Bound from below how much longer one inference takes than with everything in memory.

    Args:
        profile: of the network.
        room_bytes: for slots, residents and streamed ones together.
        read_bandwidth_bytes_per_s: of the storage.
        compute_scale: by which compute takes longer than when it was traced.
        share_beside_compute: of that bandwidth that is left while the network computes, above 0 and
            at most 1; see [Note: reads beside compute].

    Returns:
        Seconds; 0 where reads can always run ahead, and all layers fit.
    """
    trace = profile.trace
    pinned_bytes = sum(
        cell.size_bytes
        for cell in profile.cells
        if any(trace.layers[layer].is_pinned for layer in range(*cell.layers))
    )
    free_bytes = room_bytes - pinned_bytes
    room_s = free_bytes / read_bandwidth_bytes_per_s
    compute_s = read_s = tiles_s = 0.0
    lead_s = 0.0  # the least of what is read less what can be, at any start so far
    stall_s = 0.0
    for step in _steps(profile, free_bytes):
        duration_s = (step.compute_s + step.tiles_s) * compute_scale
        lead_s = min(lead_s, read_s - compute_s * share_beside_compute)
        read_s += step.new_bytes / read_bandwidth_bytes_per_s
        # A layer that can be tiled needs its last bytes only at its end.
        until_s = compute_s + duration_s * step.is_tileable
        stall_s = max(stall_s, read_s - until_s * share_beside_compute - room_s - lead_s)
        compute_s += duration_s
        tiles_s += step.tiles_s * compute_scale
    return tiles_s + stall_s


class _Step(NamedTuple):
    """What a step of the trace takes in any plan.

    Attributes:
        new_bytes: that it is the first to use.
        compute_s: with its layer whole.
        tiles_s: that the tiles add which its layer must have.
    """

    new_bytes: int
    compute_s: float
    tiles_s: float
    is_tileable: bool


def _steps(profile: NetworkProfile, free_bytes: int) -> Iterator[_Step]:
    trace = profile.trace
    cell_of = {layer: cell for cell in profile.cells for layer in range(*cell.layers)}
    seen = set()
    for number, layer in enumerate(trace.steps):
        cell = cell_of[layer]
        is_new = cell.offset_bytes not in seen
        seen.add(cell.offset_bytes)
        is_pinned = any(trace.layers[other].is_pinned for other in range(*cell.layers))
        is_tileable = trace.layers[layer].tile_unit_rows > 0 and not is_pinned
        largest_bytes = max(
            (trace.weights[weight].size_bytes for weight in trace.layers[layer].weights), default=0
        )
        must_be_cut = is_tileable and largest_bytes > free_bytes > 0
        tiles = math.ceil(largest_bytes / free_bytes) if must_be_cut else 0
        yield _Step(
            new_bytes=cell.size_bytes if is_new and not is_pinned else 0,
            compute_s=trace.step_compute_s[number],
            tiles_s=tiles * trace.step_tile_s[number],
            is_tileable=is_tileable,
        )
