"""One evaluation: a bag's images through all tasks, within one budget or with all the memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import torch

from swapnet_core import memory
from swapnet_core.cache import default_cache_dir
from swapnet_core.errors import InputError
from swapnet_ros.evaluation.bags.reader import BagReader
from swapnet_ros.evaluation.bags.source_frame import SourceFrame
from swapnet_ros.evaluation.direct.account_files import write_accounts
from swapnet_ros.evaluation.direct.beginning import find_beginning
from swapnet_ros.evaluation.direct.budget_words import UNLIMITED
from swapnet_ros.evaluation.direct.engines import Engine, PlainEngine, SwappedEngine
from swapnet_ros.evaluation.direct.figures import join_tasks, sum_up, write_figures
from swapnet_ros.evaluation.direct.frame_analyst import FrameAnalyst
from swapnet_ros.evaluation.direct.origin import describe_commit, describe_storage
from swapnet_ros.evaluation.direct.progress_file import Progress
from swapnet_ros.evaluation.direct.report_files import ReportFiles
from swapnet_ros.evaluation.direct.report_folder import ReportFolder
from swapnet_ros.evaluation.direct.request import DirectRequest
from swapnet_ros.evaluation.direct.result_json import header_json
from swapnet_ros.evaluation.direct.results_bag import ResultsBag, remove_results_bag
from swapnet_ros.evaluation.direct.results_file import read_tail
from swapnet_ros.evaluation.direct.scoring import Scoring
from swapnet_ros.evaluation.direct.stop_request import StopRequest
from swapnet_ros.evaluation.direct.timings_file import read_timings
from swapnet_ros.evaluation.run_summary import describe_machine, describe_versions
from swapnet_ros.evaluation.sample_frames import load_drawing


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Who is told how an evaluation comes along.

    Attributes:
        loading: of each task before its network is loaded.
        done: of the number of frames done, and of all.
    """

    loading: Callable[[str], None]
    done: Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sitting:
    """One go at an evaluation.

    Attributes:
        done_before: frames of earlier sittings.
        baseline_bytes: what the process held before the networks were loaded.
        stop: whether somebody wants it to stop.
    """

    done_before: int
    baseline_bytes: int
    stop: StopRequest


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
    _evaluate(request, folder, begin, bag, scoring, listeners)
    return read_outcome(folder)


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


def _evaluate(
    request: DirectRequest,
    folder: ReportFolder,
    begin: Progress,
    bag: BagReader,
    scoring: Scoring,
    listeners: Listeners,
) -> None:
    """Do what is left, in one sitting."""
    topics = sorted({topic for task in request.tasks for topic in task.topics})
    counts = {topic: bag.image_topics[topic] for topic in topics}
    total = sum(counts.values())
    baseline_bytes = _baseline_bytes(bag, topics)
    with ExitStack() as exits:
        engine = _open_engine(request, listeners.loading)
        exits.callback(engine.close)
        analyst = FrameAnalyst(request.tasks, engine)
        exits.callback(analyst.close)
        recording = _open_recording(request, folder, begin, exits)
        report = ReportFiles(
            folder,
            begin,
            header=header_json(request.tasks),
            scoring=scoring,
            image_counts=counts,
            recording=recording,
        )
        exits.callback(report.close)
        sitting = _Sitting(
            done_before=begin.frames,
            baseline_bytes=baseline_bytes,
            stop=exits.enter_context(StopRequest()),
        )
        try:
            # closed before the report is: the bag tells its problems then
            with closing(bag.frames(topics)) as frames:
                for done in _take_frames(frames, analyst, report, sitting):
                    listeners.done(done, total)
        except Exception:  # also a network's own: what was done before stays a report
            report.finish(bag.problems, is_complete=False)
            raise
        is_complete = not sitting.stop.is_made
        report.finish(bag.problems, is_complete=is_complete)
        measured = {
            "frames_in_bag": total,
            "elapsed_s": report.elapsed_s,
            "baseline_bytes": baseline_bytes,
            **engine.figures(),
        }
        rates_hz = {task.name: task.rate_hz for task in request.tasks}
        write_accounts(folder, engine.accounts(), rates_hz)
        write_figures(folder.figures, _figures(request, folder, measured))
        if is_complete:
            report.mark_complete()


def _baseline_bytes(bag: BagReader, topics: Collection[str]) -> int:
    """What the process holds without networks: libraries at work, and a bag that is being read."""
    with closing(bag.frames(topics)) as frames, torch.inference_mode():
        next(iter(frames), None)
        load_drawing()
        torch.nn.Conv2d(3, 3, 3)(torch.zeros(1, 3, 64, 64))
        memory.return_free_memory()
        return memory.anonymous_bytes()


def _open_engine(request: DirectRequest, loading: Callable[[str], None]) -> Engine:
    if request.budget == UNLIMITED:
        return PlainEngine(request.tasks, progress=loading)
    return SwappedEngine(
        request.tasks,
        budget=request.budget,
        device=request.device,
        host_budget=request.host_budget,
        read_priority=request.read_priority,
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


def _take_frames(
    frames: Iterable[SourceFrame], analyst: FrameAnalyst, report: ReportFiles, sitting: _Sitting
) -> Iterator[int]:
    """Take frames in until a stop is asked for; yield after each one how many are done."""
    for number, frame in enumerate(frames):
        if sitting.stop.is_made:
            return
        if number < sitting.done_before:
            _pass_by(frame, analyst, report)
        else:
            _take(frame, analyst, report, baseline_bytes=sitting.baseline_bytes)
        yield number + 1


def _pass_by(frame: SourceFrame, analyst: FrameAnalyst, report: ReportFiles) -> None:
    """Read a frame of an earlier sitting again.

    What is wrong with it, and how it met its labels, belongs to the report.
    """
    if not report.skip(frame):
        report.record_again(frame, analyst.analyse(frame))


def _take(
    frame: SourceFrame, analyst: FrameAnalyst, report: ReportFiles, *, baseline_bytes: int
) -> None:
    memory.reset_peak()
    answers = analyst.analyse(frame)
    process_bytes = max(0, memory.peak_anonymous_bytes() - baseline_bytes)
    report.add(frame, answers, process_bytes=process_bytes)


def _figures(
    request: DirectRequest, folder: ReportFolder, measured: Mapping[str, Any]
) -> dict[str, Any]:
    timings, process_peak_bytes = sum_up(read_timings(folder.timings))
    tail = read_tail(folder.results)
    elapsed_s, frames = measured["elapsed_s"], tail["frames_done"]
    return {
        "mode": "direct",
        "complete": tail["complete"],
        "frames_done": frames,
        "budget": request.budget,
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
