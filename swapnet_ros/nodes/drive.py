"""The main job: a video goes in over DDS, all tasks' results come out, within a memory budget.

Three processes: `perception` (the networks), `video_player` (the camera), and this one, which
starts them, listens, shows the figures, and writes the video of the drive and the summary.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import FrameType

import rclpy
from ament_index_python.packages import get_package_prefix
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.progress import track

from swapnet_core.errors import SwapNetError
from swapnet_ros.evaluation.drive_figures import DriveFigures
from swapnet_ros.evaluation.drive_report import DriveOutcome, write_reports
from swapnet_ros.evaluation.drive_view import drive_view
from swapnet_ros.evaluation.network_demand import NetworkDemand
from swapnet_ros.evaluation.road_scene.recording import record_road_scene
from swapnet_ros.evaluation.video_file import VideoReader
from swapnet_ros.nodes.child_process import ChildProcess
from swapnet_ros.nodes.dds_environment import prefer_shared_memory
from swapnet_ros.nodes.drive_jobs import DriveJob, network_job, ros_parameters, scenario_job
from swapnet_ros.nodes.drive_listener import DriveListener
from swapnet_ros.nodes.drive_monitor import DriveMonitor
from swapnet_ros.nodes.drive_options import DriveOptions, parse_options
from swapnet_ros.nodes.live_run import EXIT_FAILED, EXIT_USAGE, LiveRunError

EXIT_INTERRUPTED = 130


class Drive:
    """One drive from its preparation to its reports. Use from the main thread."""

    def __init__(self, options: DriveOptions, console: Console) -> None:
        self._options, self._console = options, console

    def run(self) -> None:
        """Do everything.

        Raises:
            LiveRunError: bad input, a child's crash, no results, or more memory than allowed.
            SwapNetError: a file cannot be read or written.
        """
        self._options.out.mkdir(parents=True, exist_ok=True)
        job = self._job()
        video = self._video()
        self._say(f"video    {video}")
        self._say(job.announcement)
        with ExitStack() as stack:
            outcome = self._play(stack, job, video)
        if outcome.record.played:
            self._report(job, video, outcome)
        if not outcome.is_complete:
            raise KeyboardInterrupt
        _judge(outcome.record.figures())

    def _job(self) -> DriveJob:
        options = self._options
        scenario = _config("self_driving.yaml")
        if options.network is None:
            return scenario_job(options.config or scenario, options)
        return network_job(scenario, options, self._demand(options.network))

    def _video(self) -> Path:
        drawing = partial(track, description="drawing a road scene", console=self._console)
        video = self._options.video or record_road_scene(self._options.out, track=drawing)
        with VideoReader(video):
            return video  # readable: better told now than by the player

    def _demand(self, network: str) -> NetworkDemand:
        """Ask a child process for the network's demand, so that its memory is free again."""
        options = self._options
        command = [sys.executable, "-m", "swapnet_ros.evaluation.network_demand", network]
        command += _path_options(options)
        log = options.out / "planning.log"
        with (
            self._console.status(f"reading {network} ..."),
            ChildProcess("planning", command, log=log, folder=options.out) as child,
        ):
            exit_code = child.wait()
            if exit_code != 0:
                usage = exit_code == EXIT_USAGE
                raise LiveRunError(
                    child.last_lines(1 if usage else 15),
                    exit_code=EXIT_USAGE if usage else EXIT_FAILED,
                )
            return NetworkDemand(**json.loads(child.last_lines(1)))

    def _say(self, sentence: str, *, style: str | None = None) -> None:
        self._console.print(sentence, style=style, soft_wrap=True, highlight=False)

    def _tell_random(self, figures: DriveFigures) -> None:
        """Say whose results mean nothing, before anybody looks at them."""
        random = [name for name, task in figures.tasks.items() if task.is_random]
        if random:
            self._say(
                f"weights  {', '.join(random)}: seeded random numbers, so the results are "
                "meaningless; memory and speed are real. docs/make_run.md says how to give files",
                style="yellow",
            )

    def _play(self, stack: ExitStack, job: DriveJob, video: Path) -> DriveOutcome:
        """Start the children, listen until the video is over, and stop them."""
        prefer_shared_memory(_config("fastdds_shared_memory.xml"))
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        stack.callback(rclpy.try_shutdown)
        monitor = DriveMonitor(job.nodes)
        stack.callback(monitor.destroy_node)
        executor = SingleThreadedExecutor()
        executor.add_node(monitor)
        stack.callback(executor.shutdown)
        view = stack.enter_context(drive_view(self._console))
        listener = DriveListener(executor, monitor, view)
        perception = stack.enter_context(
            ChildProcess("perception", _perception(job), log=self._log("perception"))
        )
        is_complete = True
        try:
            listener.until_loaded(perception)
            self._tell_random(monitor.record.figures())
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
            diagnostics=monitor.diagnostics,
            is_complete=is_complete,
        )

    def _player(self, video: Path) -> list[str]:
        values = {
            "video_player:video": str(video),
            "video_player:duration_s": self._options.duration_s or 0.0,
        }
        return [_executable("video_player"), "--ros-args", *ros_parameters(values)]

    def _log(self, name: str) -> Path:
        return self._options.out / f"{name}.log"

    def _report(self, job: DriveJob, video: Path, outcome: DriveOutcome) -> None:
        write_reports(
            self._options.out,
            video=video,
            title=job.title,
            configuration={
                **job.configuration,
                "video": str(video),
                "duration_s": self._options.duration_s,
            },
            outcome=outcome,
            console=self._console,
        )


def _perception(job: DriveJob) -> list[str]:
    return [_executable("perception"), "--ros-args", *job.ros_arguments]


def _judge(figures: DriveFigures) -> None:
    silent = [name for name, task in figures.tasks.items() if task.frames_processed == 0]
    if silent:
        raise LiveRunError(f"not one frame came back from {', '.join(silent)}")
    if figures.core is not None and figures.core.peak_bytes > figures.core.budget_bytes:
        raise LiveRunError("the core held more than its budget")


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
    except LiveRunError as error:
        print(f"drive: {error}", file=sys.stderr)
        return error.exit_code
    except SwapNetError as error:
        print(f"drive: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("drive: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0
