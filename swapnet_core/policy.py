"""Admission: do the rates that networks declare fit compute and storage? Pure.

[Note: three shares]
Per second, the declared rates need so many seconds of compute, and so many seconds of reading at
the storage's bandwidth. Either above 1 cannot be served, however well reads hide behind compute.
One inference runs at a time, so their predicted latencies, stalls included, must not be more than
a second either. Compute is the same under every budget; a larger budget has more residents, so
that less is read and compute waits less. That decides which remedy the answer names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from swapnet_core.reports import Admission, NetworkLoad
from swapnet_core.sizes import format_size
from swapnet_core.specs import PAGE_BYTES, DeviceProfile, NetworkProfile, SwapPlan

_PARTS = 64
"""The smallest budget is found to this part of the range: each trial costs a plan per network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one network's plan costs per inference, and how often it is wanted.

    Attributes:
        rate_hz: inferences per second; None: as often as there is time.
        compute_s: compute of one inference.
        streamed_bytes: read per inference.
        latency_s: predicted, stalls included.
    """

    name: str
    rate_hz: float | None
    compute_s: float
    streamed_bytes: int
    latency_s: float


def load_of(name: str, rate_hz: float | None, profile: NetworkProfile, plan: SwapPlan) -> Load:
    """Say what a network costs under a plan, which may be older than what is known of it."""
    return Load(
        name=name,
        rate_hz=rate_hz,
        compute_s=profile.trace.compute_s,
        streamed_bytes=plan.streamed_bytes,
        latency_s=max(plan.predicted_latency_s, profile.trace.compute_s),
    )


def assess(loads: Sequence[Load], device: DeviceProfile) -> Admission:
    """Compare declared rates with what the device can do under the present plans.

    Args:
        loads: of all networks that share the device.
        device: read bandwidth of the storage.

    Returns:
        The answer, without a budget that would do: that takes further plans, see `admit`.
    """
    shares = [_shares(load, device) for load in loads]
    compute, read, busy = (sum(column) for column in zip(*shares, strict=True)) if shares else _IDLE
    answer = Admission(
        fits=max(compute, read, busy) <= 1.0,
        compute_share=compute,
        read_share=read,
        busy_share=busy,
        enough_budget_bytes=None,
        networks=_networks(loads, shares, max(compute, read, busy)),
        reason="",
    )
    return replace(answer, reason=_reason(answer))


def admit(
    loads_at: Callable[[int], Sequence[Load]],
    device: DeviceProfile,
    *,
    budget_bytes: int,
    least_bytes: int,
    full_bytes: int,
) -> Admission:
    """Compare declared rates with a device, and find the smallest budget that would do.

    Args:
        loads_at: plans all networks for a budget, and gives their loads.
        device: read bandwidth of the storage.
        budget_bytes: the budget in force, at least `least_bytes`.
        least_bytes: the smallest budget that can be planned for.
        full_bytes: with this much everything is resident.

    Returns:
        The answer for `budget_bytes`. Without any declared rate nothing but `budget_bytes` is
        planned for: then every budget will do.
    """
    answer = assess(loads_at(budget_bytes), device)
    if not any(network.rate_hz for network in answer.networks):
        return replace(answer, enough_budget_bytes=least_bytes)

    def fits_at(budget: int) -> bool:
        return assess(loads_at(budget), device).fits

    enough_bytes: int | None = None
    if answer.fits:
        high = full_bytes if full_bytes < budget_bytes and fits_at(full_bytes) else budget_bytes
        enough_bytes = find_enough(fits_at, least_bytes=least_bytes, enough_bytes=high)
    elif answer.compute_share <= 1.0 and budget_bytes < full_bytes and fits_at(full_bytes):
        enough_bytes = find_enough(fits_at, least_bytes=budget_bytes, enough_bytes=full_bytes)
    answer = replace(answer, enough_budget_bytes=enough_bytes)
    return replace(answer, reason=_reason(answer))


def find_enough(is_enough: Callable[[int], bool], *, least_bytes: int, enough_bytes: int) -> int:
    """Find the smallest budget that is enough, to a small part of the range.

    A heuristic planner may do a little worse with a little more memory, so the answer is a budget
    that was tried, not one that was concluded.

    Args:
        is_enough: asked about seven times.
        least_bytes: no budget below this is tried.
        enough_bytes: is enough; not tried again.
    """
    if enough_bytes <= least_bytes:
        return enough_bytes
    if is_enough(least_bytes):
        return least_bytes
    low, high = least_bytes, enough_bytes
    precision_bytes = max(PAGE_BYTES, (enough_bytes - least_bytes) // _PARTS)
    while high - low > precision_bytes:
        middle = low + (high - low) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


_Shares = tuple[float, float, float]
_IDLE: _Shares = (0.0, 0.0, 0.0)


def _shares(load: Load, device: DeviceProfile) -> _Shares:
    """Shares of compute, of read bandwidth and of the time in which an inference runs."""
    rate_hz = load.rate_hz or 0.0
    read_s = load.streamed_bytes / device.read_bandwidth_bytes_per_s
    return rate_hz * load.compute_s, rate_hz * read_s, rate_hz * load.latency_s


def _networks(
    loads: Sequence[Load], shares: Sequence[_Shares], most: float
) -> tuple[NetworkLoad, ...]:
    left = max(0.0, 1.0 - sum(busy for _, _, busy in shares))
    round_s = sum(load.latency_s for load in loads if not load.rate_hz)
    spare_hz = left / round_s if round_s > 0.0 else 0.0
    return tuple(
        NetworkLoad(
            name=load.name,
            rate_hz=load.rate_hz or None,
            compute_share=compute,
            read_share=read,
            busy_share=busy,
            reachable_rate_hz=load.rate_hz / max(1.0, most) if load.rate_hz else spare_hz,
        )
        for load, (compute, read, busy) in zip(loads, shares, strict=True)
    )


def _reason(answer: Admission) -> str:
    if not any(network.rate_hz for network in answer.networks):
        return "no rates are declared: every network runs as often as there is time"
    figures = (
        f"compute {answer.compute_share:.0%}, reads {answer.read_share:.0%}, inferences with "
        f"their stalls {answer.busy_share:.0%} of the time"
    )
    if answer.fits:
        return f"the declared rates fit: {figures}{_enough(answer)}"
    most = max(answer.compute_share, answer.read_share, answer.busy_share)
    # Down, never up: the figure is a promise.
    slower = f"{math.floor(1000 / most) / 10:g} % of the rates"
    if answer.compute_share > 1.0:
        remedy = f"no budget helps: ask for at most {slower}, or for smaller networks or inputs"
    elif answer.enough_budget_bytes is not None:
        enough = format_size(answer.enough_budget_bytes)
        remedy = f"a budget of {enough} would do, or {slower}"
    else:
        remedy = f"ask for at most {slower}"
    return f"the declared rates do not fit: {figures}; {remedy}"


def _enough(answer: Admission) -> str:
    if answer.enough_budget_bytes is None:
        return ""
    return f"; {format_size(answer.enough_budget_bytes)} would do"
