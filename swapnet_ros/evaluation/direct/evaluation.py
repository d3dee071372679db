"""One evaluation: a bag's images through all tasks, within one budget or with all the memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import torch

from swapnet_core import memory
from swapnet_core.cache import default_cache_dir
from swapnet_core.errors import InputError, SwapNetError
from swapnet_ros.evaluation.bags.reader import BagReader
from swapnet_ros.evaluation.bags.source_frame import SourceFrame
from swapnet_ros.evaluation.direct.beginning import find_beginning
from swapnet_ros.evaluation.direct.engines import Engine, PlainEngine, SwappedEngine
from swapnet_ros.evaluation.direct.figures import (
    join_tasks,
    sum_up,
    write_figures,
    write_timelines,
)
from swapnet_ros.evaluation.direct.frame_analyst import FrameAnalyst
from swapnet_ros.evaluation.direct.origin import describe_commit, describe_storage
from swapnet_ros.evaluation.direct.progress_file import Progress
from swapnet_ros.evaluation.direct.report_files import ReportFiles, ReportFolder
from swapnet_ros.evaluation.direct.request import UNLIMITED, DirectRequest
from swapnet_ros.evaluation.direct.results_bag import ResultsBag, remove_results_bag
from swapnet_ros.evaluation.direct.results_file import read_tail
from swapnet_ros.evaluation.direct.scoring import Scoring
from swapnet_ros.evaluation.direct.stop_request import StopRequest
from swapnet_ros.evaluation.direct.timings_file import read_timings
from swapnet_ros.evaluation.run_summary import describe_machine, describe_versions

FORMAT = "swapnet results 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Who is told how an evaluation comes along.

    Attributes:
        loading: of each task before its network is loaded.
        done: of the number of frames done, and of all.
    """

    loading: Callable[[str], None]
    done: Callable[[int, int], None]


def evaluate_bag(
    request: DirectRequest, bag: BagReader, scoring: Scoring, listeners: Listeners
) -> dict[str, Any]:
    """Run all tasks on a bag's images, in the order of their stamps; leaves the report's files.

    Ctrl-C between frames leaves a valid report of the frames so far, with which a later call goes
    on. An evaluation that is complete already is not run again.

    Args:
        request: what to evaluate.
        bag: opened, of the same path.
        scoring: where accuracy is counted.
        listeners: who is told how it comes along.

    Returns:
        The figures, as they stand in `figures.json`, with the results' accuracy and problems.

    Raises:
        InputError: the folder cannot be used, or not be resumed with this request.
        SwapNetError: a network cannot be loaded, an inference failed, or a file cannot be written.
    """
    folder = ReportFolder(path=request.out)
    begin = find_beginning(request, folder)
    if begin.is_complete:
        return read_outcome(folder)
    topics = sorted({topic for task in request.tasks for topic in task.topics})
    counts = {topic: bag.image_topics[topic] for topic in topics}
    total = sum(counts.values())
    baseline_bytes = _baseline_bytes(bag, topics)
    with ExitStack() as exits:
        engine = _open_engine(request, listeners.loading)
        exits.callback(engine.close)
        analyst = FrameAnalyst(request.tasks, engine)
        exits.callback(analyst.close)
        report = ReportFiles(
            folder,
            begin,
            header=_header(request),
            scoring=scoring,
            image_counts=counts,
            recording=_open_recording(request, folder, begin, exits),
        )
        exits.callback(report.close)
        stop = exits.enter_context(StopRequest())
        sitting = _Sitting(analyst, report, stop, baseline_bytes=baseline_bytes)
        is_complete = sitting.go_through(bag, topics, lambda done: listeners.done(done, total))
        measured = {
            "frames_in_bag": total,
            "elapsed_s": report.elapsed_s,
            "baseline_bytes": baseline_bytes,
            **engine.figures(),
        }
        write_timelines(folder.timeline, engine.timelines())
        write_figures(folder.figures, _figures(request, folder, measured))
        if is_complete:
            report.mark_complete()
    return read_outcome(folder)


class _Sitting:
    """One sitting of an evaluation. Use from one thread."""

    def __init__(
        self,
        analyst: FrameAnalyst,
        report: ReportFiles,
        stop: StopRequest,
        *,
        baseline_bytes: int,
    ) -> None:
        self._analyst = analyst
        self._report = report
        self._stop = stop
        self._baseline_bytes = baseline_bytes

    def __repr__(self) -> str:
        return f"<_Sitting {self._report!r}>"

    def go_through(
        self, bag: BagReader, topics: Collection[str], done: Callable[[int], None]
    ) -> bool:
        """Take the frames of some topics, until the end or until a stop is asked for.

        Args:
            bag: where they are.
            topics: of the images.
            done: is told how many frames are done.

        Returns:
            Whether all are done.

        Raises:
            SwapNetError: an inference failed, or a file cannot be written.
        """
        frames_before = self._report.frames
        try:
            # closed before the report is: the bag tells its problems then
            with closing(bag.frames(topics)) as frames:
                for number, frame in enumerate(frames):
                    if self._stop.is_made:
                        break
                    if number < frames_before:
                        self._pass_by(frame)
                    else:
                        self._take(frame)
                    done(number + 1)
        except SwapNetError:
            self._report.finish(bag.problems, is_complete=False)
            raise
        is_complete = not self._stop.is_made
        self._report.finish(bag.problems, is_complete=is_complete)
        return is_complete

    def _pass_by(self, frame: SourceFrame) -> None:
        """Read a frame of an earlier sitting again.

        What is wrong with it, and how it met its labels, belongs to the report.
        """
        if not self._report.skip(frame):
            self._report.record_again(frame, self._analyst.analyse(frame))

    def _take(self, frame: SourceFrame) -> None:
        memory.reset_peak()
        answers = self._analyst.analyse(frame)
        process_bytes = max(0, memory.peak_anonymous_bytes() - self._baseline_bytes)
        self._report.add(frame, answers, process_bytes=process_bytes)


def read_outcome(folder: ReportFolder) -> dict[str, Any]:
    """Return the figures of a report, with the results' accuracy and problems.

    Raises:
        InputError: it has none, or they cannot be read.
    """
    try:
        figures = json.loads(folder.figures.read_text(encoding="utf-8"))
        return {**figures, **read_tail(folder.results)}
    except (OSError, ValueError) as error:
        raise InputError(
            f"the report in {folder.path} cannot be read: {error}; evaluate again, without --resume"
        ) from error


def _baseline_bytes(bag: BagReader, topics: Collection[str]) -> int:
    """What the process holds without networks: libraries at work, and a bag that is being read."""
    with closing(bag.frames(topics)) as frames, torch.inference_mode():
        next(iter(frames), None)
        torch.nn.Conv2d(3, 3, 3)(torch.zeros(1, 3, 64, 64))
        memory.return_free_memory()
        return memory.anonymous_bytes()


def _header(request: DirectRequest) -> dict[str, Any]:
    """What stands before the frames: nothing of budgets, so that results can be compared."""
    return {
        "format": FORMAT,
        "tasks": {task.name: task.describe() for task in request.tasks},
    }


def _open_engine(request: DirectRequest, loading: Callable[[str], None]) -> Engine:
    if request.budget == UNLIMITED:
        return PlainEngine(request.tasks, progress=loading)
    return SwappedEngine(
        request.tasks,
        budget=request.budget,
        device=request.device,
        cache_dir=request.cache_dir,
        progress=loading,
    )


def _open_recording(
    request: DirectRequest, folder: ReportFolder, begin: Progress, exits: ExitStack
) -> ResultsBag | None:
    """Begin the recording, where one is wanted; one of another evaluation is removed."""
    if not request.is_recorded:
        remove_results_bag(folder.recording)
        return None
    networks = {task.name: task.network.name for task in request.tasks}
    return exits.enter_context(ResultsBag(folder.recording, networks, frames_before=begin.frames))


def _figures(
    request: DirectRequest, folder: ReportFolder, measured: Mapping[str, Any]
) -> dict[str, Any]:
    timings, process_peak_bytes = sum_up(read_timings(folder.timings))
    tail = read_tail(folder.results)
    elapsed_s, frames = measured["elapsed_s"], tail["frames_done"]
    return {
        "mode": "direct",
        "budget": request.budget,
        "complete": tail["complete"],
        "frames_done": frames,
        **measured,
        "frames_per_s": frames / elapsed_s if elapsed_s else 0.0,
        "process_peak_bytes": process_peak_bytes,
        "tasks": join_tasks(timings, measured["tasks"]),
        "cache": describe_storage(request.cache_dir or default_cache_dir()),
        "machine": describe_machine(),
        "versions": describe_versions(),
        "commit": describe_commit(),
        "configuration": dict(request.configuration),
    }
