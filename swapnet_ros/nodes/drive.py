"""The main job: a video goes in over DDS, detections come out, within a memory budget.

Three processes: `perception` (the networks), `video_player` (the camera), and this one, which
starts them, listens, shows the figures, and writes the annotated video and the summary.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import rclpy
from ament_index_python.packages import get_package_prefix
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.progress import track

from swapnet_core.errors import SwapNetError
from swapnet_core.sizes import format_size
from swapnet_ros.evaluation.drive_record import DriveFigures
from swapnet_ros.evaluation.drive_report import DriveOutcome, write_reports
from swapnet_ros.evaluation.drive_view import drive_view
from swapnet_ros.evaluation.network_demand import NetworkDemand
from swapnet_ros.evaluation.road_scene.recording import record_road_scene
from swapnet_ros.evaluation.video_file import VideoReader
from swapnet_ros.nodes.child_process import ChildProcess
from swapnet_ros.nodes.dds_environment import prefer_shared_memory
from swapnet_ros.nodes.drive_listener import (
    EXIT_FAILED,
    EXIT_USAGE,
    DriveError,
    DriveListener,
)
from swapnet_ros.nodes.drive_monitor import DriveMonitor
from swapnet_ros.nodes.drive_options import (
    DEFAULT_DEMAND_OVER_BUDGET,
    DriveOptions,
    parse_options,
)

EXIT_INTERRUPTED = 130


class Drive:
    """One drive from its preparation to its reports. Use from the main thread."""

    def __init__(self, options: DriveOptions, console: Console) -> None:
        self._options, self._console = options, console

    def run(self) -> None:
        """Do everything.

        Raises:
            DriveError: bad input, a child's crash, no results, or more memory than allowed.
            SwapNetError: a file cannot be read or written.
        """
        self._options.out.mkdir(parents=True, exist_ok=True)
        video = self._video()
        demand = self._demand()
        budget_bytes = self._budget_bytes(demand)
        self._announce(video, demand, budget_bytes)
        with ExitStack() as stack:
            outcome = self._play(stack, video, budget_bytes)
        if outcome.record.played:
            self._report(video, demand, outcome)
        if not outcome.is_complete:
            raise KeyboardInterrupt
        _judge(outcome.record.figures())

    def _video(self) -> Path:
        drawing = partial(track, description="drawing a road scene", console=self._console)
        video = self._options.video or record_road_scene(self._options.out, track=drawing)
        with VideoReader(video):
            return video  # readable: better told now than by the player

    def _demand(self) -> NetworkDemand:
        """Ask a child process for the network's demand, so that its memory is free again."""
        options = self._options
        command = [sys.executable, "-m", "swapnet_ros.evaluation.network_demand", options.network]
        command += _path_options(options)
        log = options.out / "planning.log"
        with (
            self._console.status(f"reading {options.network} ..."),
            ChildProcess("planning", command, log=log, folder=options.out) as child,
        ):
            exit_code = child.wait()
            if exit_code != 0:
                usage = exit_code == EXIT_USAGE
                raise DriveError(
                    child.last_lines(1 if usage else 15),
                    exit_code=EXIT_USAGE if usage else EXIT_FAILED,
                )
            return NetworkDemand(**json.loads(child.last_lines(1)))

    def _budget_bytes(self, demand: NetworkDemand) -> int:
        wanted = round(demand.demand_bytes / DEFAULT_DEMAND_OVER_BUDGET)
        return self._options.budget_bytes or max(wanted, demand.least_bytes)

    def _announce(self, video: Path, demand: NetworkDemand, budget_bytes: int) -> None:
        say = self._console.print
        say(f"video    {video}", soft_wrap=True, highlight=False)
        say(
            f"network  {demand.network}: demand {format_size(demand.demand_bytes)}, "
            f"budget {format_size(budget_bytes)} "
            f"(demand / budget = {demand.demand_bytes / budget_bytes:.2f})",
            soft_wrap=True,
            highlight=False,
        )
        if demand.is_random:
            say(
                "weights  seeded random numbers: the detections are meaningless, memory and speed "
                "are real. For real detections: make run NETWORK=file.cfg WEIGHTS=file.weights",
                style="yellow",
                soft_wrap=True,
                highlight=False,
            )

    def _play(self, stack: ExitStack, video: Path, budget_bytes: int) -> DriveOutcome:
        """Start the children, listen until the video is over, and stop them."""
        prefer_shared_memory(_config("fastdds_shared_memory.xml"))
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        stack.callback(rclpy.try_shutdown)
        monitor = DriveMonitor()
        stack.callback(monitor.destroy_node)
        executor = SingleThreadedExecutor()
        executor.add_node(monitor)
        stack.callback(executor.shutdown)
        view = stack.enter_context(drive_view(self._console))
        listener = DriveListener(executor, monitor, view)
        perception = stack.enter_context(
            ChildProcess("perception", self._perception(budget_bytes), log=self._log("perception"))
        )
        is_complete = True
        try:
            listener.until_loaded(perception)
            player = stack.enter_context(
                ChildProcess("video_player", self._player(video), log=self._log("video_player"))
            )
            listener.until_played(perception, player)
            listener.until_quiet(perception)
        except KeyboardInterrupt:
            is_complete = False  # the reports tell of what there is so far
        return DriveOutcome(
            record=monitor.record,
            process_peak_bytes=listener.process_peak_bytes,
            detector_diagnostics=monitor.detector_diagnostics,
            is_complete=is_complete,
        )

    def _perception(self, budget_bytes: int) -> list[str]:
        options = self._options
        values = {
            "swapnet:nodes": ["object_detection"],
            "swapnet:budget": str(budget_bytes),
            "object_detection:network": options.network,
            "object_detection:weights": str(options.weights or ""),
            "object_detection:labels": str(options.labels or ""),
        }
        scenario = ["--ros-args", "--params-file", str(_config("self_driving.yaml"))]
        return [_executable("perception"), *scenario, *_ros_parameters(values)]

    def _player(self, video: Path) -> list[str]:
        values = {
            "video_player:video": str(video),
            "video_player:duration_s": self._options.duration_s or 0.0,
        }
        return [_executable("video_player"), *_ros_parameters(values)]

    def _log(self, name: str) -> Path:
        return self._options.out / f"{name}.log"

    def _report(self, video: Path, demand: NetworkDemand, outcome: DriveOutcome) -> None:
        options = self._options
        weights = "random weights" if demand.is_random else "trained weights"
        configuration = {
            **asdict(demand),
            "video": str(video),
            "weights": str(options.weights or ""),
            "duration_s": options.duration_s,
        }
        write_reports(
            options.out,
            video=video,
            title=f"{demand.network} ({weights})",
            configuration=configuration,
            outcome=outcome,
            console=self._console,
        )


def _judge(figures: DriveFigures) -> None:
    if figures.frames_processed == 0:
        raise DriveError("not one frame came back")
    if figures.swap is not None and figures.swap.peak_bytes > figures.swap.budget_bytes:
        raise DriveError("the core held more than its budget")


def _path_options(options: DriveOptions) -> list[str]:
    paths = {"--weights": options.weights, "--labels": options.labels}
    return [part for name, path in paths.items() if path for part in (name, str(path))]


def _executable(name: str) -> str:
    return str(_package("lib") / name)


def _config(name: str) -> Path:
    return _package("share") / "config" / name


def _package(part: str) -> Path:
    """Return the package's folder in a part of its install space: `lib` or `share`."""
    return Path(get_package_prefix("swapnet_ros"), part, "swapnet_ros")


def _ros_parameters(values: dict[str, Any]) -> list[str]:
    """Write parameters as command-line arguments; JSON's strings and numbers are YAML's, too."""
    assignments = [f"{name}:={json.dumps(value)}" for name, value in values.items()]
    return ["--ros-args", *(part for text in assignments for part in ("-p", text))]


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one drive.

    Returns:
        Exit code: 0 done, 1 failed, 2 bad usage or input, 130 interrupted.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    options = parse_options(arguments)
    try:
        Drive(options, Console()).run()
    except DriveError as error:
        print(f"drive: {error}", file=sys.stderr)
        return error.exit_code
    except SwapNetError as error:
        print(f"drive: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("drive: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0
