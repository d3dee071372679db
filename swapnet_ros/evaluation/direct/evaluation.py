"""One evaluation: a bag's images through all tasks, within one budget or with all the memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from swapnet_core import memory
from swapnet_core.cache import default_cache_dir
from swapnet_core.errors import InputError, SwapNetError
from swapnet_ros.evaluation.bags.reader import BagReader
from swapnet_ros.evaluation.bags.source_frame import SourceFrame
from swapnet_ros.evaluation.direct.direct_task import DirectTask
from swapnet_ros.evaluation.direct.engines import Engine, PlainEngine, SwappedEngine
from swapnet_ros.evaluation.direct.figures import (
    join_tasks,
    sum_up,
    write_figures,
    write_timelines,
)
from swapnet_ros.evaluation.direct.frame_analyst import FrameAnalyst
from swapnet_ros.evaluation.direct.origin import describe_commit, describe_storage
from swapnet_ros.evaluation.direct.progress_file import Progress, read_progress
from swapnet_ros.evaluation.direct.report_files import ReportFiles, ReportFolder
from swapnet_ros.evaluation.direct.results_file import read_tail
from swapnet_ros.evaluation.direct.scoring import Scoring
from swapnet_ros.evaluation.direct.stop_request import StopRequest
from swapnet_ros.evaluation.direct.timings_file import read_timings
from swapnet_ros.evaluation.run_summary import describe_machine, describe_versions
from swapnet_ros.evaluation.sample_frames import load_drawing

UNLIMITED = "unlimited"
FORMAT = "swapnet results 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectRequest:
    """What to evaluate.

    Attributes:
        bag: its path.
        out: folder of the report; made where there is none.
        tasks: what looks at the images.
        budget: a size, `auto`, or `unlimited` for the plain networks without the core.
        device: as the core takes it.
        cache_dir: for block files; None for the user's cache folder.
        is_resumed: go on with what is in the folder.
        labels: where ground truth comes from, of JSON types; empty for none.
        configuration: what the user asked for, of JSON types, for the figures.
    """

    bag: Path
    out: Path
    tasks: Sequence[DirectTask]
    budget: str
    device: str = "auto"
    cache_dir: Path | None = None
    is_resumed: bool = False
    labels: Mapping[str, Any] = field(default_factory=dict)
    configuration: Mapping[str, Any] = field(default_factory=dict)


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
        InputError: the bag has no images for the tasks, or cannot be resumed with this request.
        SwapNetError: a network cannot be loaded, or an inference failed.
    """
    folder = ReportFolder(path=request.out)
    begin = _begin(request, folder)
    if begin.is_complete:
        return read_outcome(folder)
    topics = sorted({topic for task in request.tasks for topic in task.topics})
    counts = {topic: bag.image_topics[topic] for topic in topics}
    total = sum(counts.values())
    request.out.mkdir(parents=True, exist_ok=True)
    baseline_bytes = _baseline_bytes(bag, topics)
    with ExitStack() as exits:
        engine = _open_engine(request, listeners.loading)
        exits.callback(engine.close)
        analyst = FrameAnalyst(request.tasks, engine)
        exits.callback(analyst.close)
        report = ReportFiles(
            folder, begin, header=_header(request), scoring=scoring, image_counts=counts
        )
        exits.callback(report.close)
        stop = exits.enter_context(StopRequest())
        try:
            # closed before the report is: the bag tells its problems then
            with closing(bag.frames(topics)) as frames:
                for frame in _frames_left(frames, report, stop):
                    _take(frame, analyst, report, baseline_bytes=baseline_bytes)
                    listeners.done(report.frames, total)
        except SwapNetError:
            report.finish(bag.problems, is_complete=False)
            raise
        report.finish(bag.problems, is_complete=not stop.is_made)
        measured = {
            "frames_in_bag": total,
            "elapsed_s": report.elapsed_s,
            "baseline_bytes": baseline_bytes,
            **engine.figures(),
        }
        write_timelines(folder.timeline, engine.timelines())
    write_figures(folder.figures, _figures(request, folder, measured))
    return read_outcome(folder)


def read_outcome(folder: ReportFolder) -> dict[str, Any]:
    """Return the figures of a report, with the results' accuracy and problems.

    Raises:
        OSError: it has none.
    """
    figures = json.loads(folder.figures.read_text(encoding="utf-8"))
    return {**figures, **read_tail(folder.results)}


def _begin(request: DirectRequest, folder: ReportFolder) -> Progress:
    """Where to begin: at the first frame, or where an earlier evaluation was stopped.

    Raises:
        InputError: an unfinished evaluation would be lost, or cannot be gone on with.
    """
    setup = _setup(request)
    earlier = read_progress(folder.progress)
    if not request.is_resumed:
        if earlier is not None and earlier.frames and not earlier.is_complete:
            raise InputError(
                f"{folder.path} has an evaluation that was stopped after {earlier.frames} frames; "
                "--resume goes on with it; to give it up, remove that folder"
            )
        return Progress(setup=setup)
    if earlier is None:
        return Progress(setup=setup)
    earlier.require_same_setup(setup)
    return earlier


def _setup(request: DirectRequest) -> dict[str, Any]:
    """What has to be the same for an evaluation that is resumed."""
    return {
        "bag": _files(request.bag),
        "budget": request.budget,
        "scenario": {task.name: task.describe() for task in request.tasks},
        "weights": {
            task.name: _files(task.network.weights)
            for task in request.tasks
            if isinstance(task.network.weights, Path)
        },
        "labels": dict(request.labels),
    }


def _files(path: Path) -> list[list[Any]]:
    """Names and sizes of a file, or of the files in a folder."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [[each.name, each.stat().st_size] for each in files]


def _baseline_bytes(bag: BagReader, topics: Collection[str]) -> int:
    """What the process holds without networks: libraries at work, and a bag that is being read."""
    with closing(bag.frames(topics)) as frames, torch.inference_mode():
        next(iter(frames), None)
        load_drawing()
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


def _frames_left(
    frames: Iterable[SourceFrame], report: ReportFiles, stop: StopRequest
) -> Iterator[SourceFrame]:
    """Frames that are not done yet, until a stop is asked for.

    Those of an earlier sitting are read again: what is wrong with them, and how they met their
    labels, belongs to the report.
    """
    done = report.frames
    for number, frame in enumerate(frames):
        if stop.is_made:
            return
        if number < done:
            report.skip(frame)
        else:
            yield frame


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
