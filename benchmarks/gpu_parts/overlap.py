"""Do copies run beside kernels: from torch's profiler, which has the device's own times."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

_INFERENCES = 3

Span = tuple[float, float]


def measure_overlap(run: Callable[[], Any], place: torch.device) -> dict[str, float] | None:
    """Profile some calls.

    Returns:
        Seconds in which copies to the device ran, kernels ran, and both did; None on the CPU, or
        where the profiler does not see the device.
    """
    if place.type != "cuda":
        return None
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(_INFERENCES):
            run()
    copies: list[Span] = []
    kernels: list[Span] = []
    for event in profile.events() or []:
        if event.device_type == torch.autograd.DeviceType.CUDA:
            span = (event.time_range.start / 1e6, event.time_range.end / 1e6)
            (copies if "Memcpy HtoD" in event.name else kernels).append(span)
    if not kernels:
        return None
    copied, computed = _joined(copies), _joined(kernels)
    return {
        "copy_s": _length(copied) / _INFERENCES,
        "kernel_s": _length(computed) / _INFERENCES,
        "both_s": _common(copied, computed) / _INFERENCES,
    }


def _joined(spans: Iterable[Span]) -> list[Span]:
    joined: list[Span] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    return joined


def _length(spans: Iterable[Span]) -> float:
    return sum(end - begin for begin, end in spans)


def _common(ones: list[Span], others: list[Span]) -> float:
    return sum(
        max(0.0, min(end, other_end) - max(begin, other_begin))
        for begin, end in ones
        for other_begin, other_end in others
    )
