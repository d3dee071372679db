"""Where the time of one answered image went. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class FrameTiming(Protocol):
    """The fields of the message `FrameTiming`, in seconds."""

    queue_s: float
    decode_s: float
    inference_s: float
    publish_s: float
    total_s: float
    stall_s: float
    compute_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyParts:
    """The latency of one image in one task, and its parts, which add up to it; in seconds.

    Attributes:
        latency_s: from the image's arrival in the nodes' process to its result's publication.
        queue_s: waiting: for the node, which works on one image at a time, and for the core, which
            runs one inference at a time.
        prepare_s: decoding the image and making the network's input of it.
        stall_s: the inference waited for blocks.
        compute_s: the inference computed.
        interpret_s: making the result of what the network returned.
        publish_s: filling and sending messages.
    """

    latency_s: float
    queue_s: float
    prepare_s: float
    stall_s: float
    compute_s: float
    interpret_s: float
    publish_s: float


PARTS = ("queue_s", "prepare_s", "stall_s", "compute_s", "interpret_s", "publish_s")


def split_latency(timing: FrameTiming) -> LatencyParts:
    """Split the time of an image.

    What the core took for an inference beyond stalls and compute is waiting for its turn. In a task
    with several inferences per image, preparing all regions but the first counts as `interpret_s`.
    The node and the core read the clock one after the other, so a part may come out some
    microseconds below 0: it is 0 then.
    """
    at_core_s = timing.inference_s - timing.stall_s - timing.compute_s
    known_s = timing.queue_s + timing.decode_s + timing.inference_s + timing.publish_s
    return LatencyParts(
        latency_s=timing.total_s,
        queue_s=max(0.0, timing.queue_s + at_core_s),
        prepare_s=timing.decode_s,
        stall_s=timing.stall_s,
        compute_s=timing.compute_s,
        interpret_s=max(0.0, timing.total_s - known_s),
        publish_s=timing.publish_s,
    )
