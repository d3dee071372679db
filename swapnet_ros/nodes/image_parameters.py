"""What every task node has: cameras, a place in the queue, weights; and how images are prepared."""

from __future__ import annotations

import math
import re

from swapnet_ros.nodes.parameter_specs import ParameterSpec, Value

_TOPIC = re.compile(r"(~/|/)?[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)


def _check_cameras(value: Value) -> None:
    if not value:
        raise ValueError("a task needs at least one camera")
    for topic in value:
        if not _TOPIC.fullmatch(topic):
            raise ValueError(f"{topic!r} is no topic name; write one like camera/image_raw")
    if len(set(value)) < len(value):
        raise ValueError(f"a camera stands in {value} twice")


def _check_input_size(value: Value) -> None:
    if len(value) > 2 or not all(1 <= side <= 4096 for side in value):
        raise ValueError(f"{value} is not [side] or [height, width] in 1 to 4096 pixels")


def _check_channels(value: Value) -> None:
    if len(value) not in (0, 3) or not all(math.isfinite(number) for number in value):
        raise ValueError(f"three finite numbers are needed, one per channel, not {value}")


def _check_deviations(value: Value) -> None:
    _check_channels(value)
    if 0 in value:
        raise ValueError(f"nothing can be divided by 0, as {value} would")


# Every task node has these.
IMAGE_TASK = (
    ParameterSpec(
        name="autostart",
        default=True,
        description="Configure and activate the node when the process starts.",
    ),
    ParameterSpec(
        name="cameras",
        default=["image"],
        check=_check_cameras,
        description="Image topics, all for the one network: of each camera the newest image, and "
        "the camera that has waited longest is next. Relative names and remapping work as for all "
        "topics.",
    ),
    ParameterSpec(
        name="image_transport",
        default="raw",
        choices=("raw", "compressed"),
        description="Subscribe to the cameras' topics (raw) or to `compressed` below them.",
    ),
    ParameterSpec(
        name="max_rate_hz",
        default=0.0,
        minimum=0.0,
        maximum=1000.0,
        is_live=True,
        description="Most images per second that are processed, of all cameras together; 0: as "
        "many as the network can.",
    ),
    ParameterSpec(
        name="max_age_s",
        default=0.0,
        minimum=0.0,
        maximum=3600.0,
        is_live=True,
        description="An image that is older by its stamp when its turn comes is not processed, but "
        "counted as stale; for cameras whose clock is this computer's. 0: any age.",
    ),
    ParameterSpec(
        name="deadline_s",
        default=0.0,
        minimum=0.0,
        maximum=3600.0,
        is_live=True,
        description="Seconds after an image's arrival by which its inference must have started; an "
        "image whose turn comes later is not processed, but counted as late. 0: no deadline.",
    ),
    ParameterSpec(
        name="priority",
        default=0,
        minimum=-100,
        maximum=100,
        is_live=True,
        description="Of the images of several nodes that wait for the core, those of the highest "
        "priority are next.",
    ),
    ParameterSpec(
        name="cuda_graphs",
        default=False,
        description="On a GPU, capture the network's kernels once and replay them from then on, "
        "where the network can be captured; without effect elsewhere.",
    ),
    ParameterSpec(
        name="weights",
        default="",
        description="File with the network's weights: `.safetensors`, `.pth`, `.pt` or `.th`, for "
        "Darknet networks `.weights` as well; empty: random ones, to measure with, or those that a "
        "network of your own brings along.",
    ),
)

INPUT_SIZE = ParameterSpec(
    name="input_size",
    default=[],
    item_type=int,
    check=_check_input_size,
    description="Of the network's input in pixels: `[side]` or `[height, width]`; empty: the "
    "network's own.",
)

# How images are prepared; left as it is, a network's own preprocessing holds.
PREPROCESSING = (
    INPUT_SIZE,
    ParameterSpec(
        name="input_fit",
        default="own",
        choices=("own", "squash", "letterbox", "crop"),
        description="How an image gets the network's size: stretched; with its proportions kept, "
        "between grey borders; or with its proportions kept, the centre cut out.",
    ),
    ParameterSpec(
        name="input_crop_share",
        default=0.0,
        minimum=0.0,
        maximum=1.0,
        description="With `input_fit: crop`: part of the shorter side that stays; 0: the network's "
        "own.",
    ),
    ParameterSpec(
        name="input_channels",
        default="own",
        choices=("own", "rgb", "bgr"),
        description="Order of the colours that the network takes.",
    ),
    ParameterSpec(
        name="input_scale",
        default=0.0,
        minimum=0.0,
        maximum=1000.0,
        description="What pixels of 0 to 255 are multiplied with before mean and deviation; 0: the "
        "network's own, mostly 1/255.",
    ),
    ParameterSpec(
        name="input_mean",
        default=[],
        item_type=float,
        check=_check_channels,
        description="Taken off the scaled values: one number per channel, in the network's order; "
        "empty: the network's own.",
    ),
    ParameterSpec(
        name="input_std",
        default=[],
        item_type=float,
        check=_check_deviations,
        description="What they are divided by then: one number per channel; empty: the network's "
        "own.",
    ),
)
