"""What `make run` can be told."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from swapnet_core.sizes import parse_size

DEFAULT_NETWORK = "yolov3"
# The smallest ratio of demand to budget in SwapNet's evaluation.
DEFAULT_DEMAND_OVER_BUDGET = 2.32


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveOptions:
    """One drive.

    Attributes:
        video: video file to play; None for the road scene that the project draws.
        config: parameter file of a scenario; None for self-driving.
        network: name of a detection network or path of a `.cfg` file, to run it alone; None for the
            scenario.
        weights: weights file of that network; None for random weights.
        labels: file of class names; None for the network's own.
        budget_bytes: memory budget; None for the scenario's own, and for a network alone its demand
            divided by 2.32.
        duration_s: how long to play; None for the video once.
        out: folder for what the drive leaves.
    """

    video: Path | None
    config: Path | None
    network: str | None
    weights: Path | None
    labels: Path | None
    budget_bytes: int | None
    duration_s: float | None
    out: Path


def parse_options(arguments: Sequence[str] | None = None) -> DriveOptions:
    """Read the command line; mistakes end the program with exit code 2 and one line each.

    Args:
        arguments: without the program's name; None for the process's own.
    """
    parser = _parser()
    found = parser.parse_args(arguments)
    is_single = any((found.network, found.weights, found.labels))
    if is_single and found.config:
        parser.error(
            "--network, --weights and --labels run one detection network alone, --config runs a "
            "scenario: leave one of them out, or name the network in the scenario's file"
        )
    return DriveOptions(
        video=found.video,
        config=found.config,
        network=(found.network or DEFAULT_NETWORK) if is_single else None,
        weights=found.weights,
        labels=found.labels,
        budget_bytes=found.budget,
        duration_s=found.duration,
        out=found.out.resolve(),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="drive", description=_DESCRIPTION)
    add = parser.add_argument
    add("--video", type=_file, help="video file; default: a drawn road scene")
    add("--config", type=_file, help="a scenario's parameter file; default: self-driving")
    add("--network", type=_network, help="one detection network alone: its name or .cfg")
    add("--weights", type=_file, help="its weights file; default: random weights")
    add("--labels", type=_file, help="its class names, one per line")
    add(
        "--budget",
        type=_size,
        help="such as 96MiB; default: the scenario's; for a network alone its demand / "
        f"{DEFAULT_DEMAND_OVER_BUDGET}",
    )
    add("--duration", type=_seconds, help="seconds to play; default: once through")
    add("--out", type=Path, default=Path("out"), help="folder for the results")
    return parser


_DESCRIPTION = (
    "Plays a video into an image topic, runs the self-driving tasks on it within a memory budget, "
    "and shows what happens. Leaves drive.mp4 and summary.json."
)


def _file(text: str) -> Path:
    path = Path(text).expanduser().resolve()
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return path


def _network(text: str) -> str:
    """Make the path of a definition absolute, since other processes read it, too."""
    return str(_file(text)) if text.endswith(".cfg") else text


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"a positive number of seconds is wanted, not {text!r}")
    return seconds
