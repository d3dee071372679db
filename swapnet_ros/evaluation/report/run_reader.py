"""Reads an evaluation's folder, whatever of it is there."""

from __future__ import annotations

import csv
import json
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from swapnet_core.errors import InputError
from swapnet_ros.evaluation.direct.figures import sum_up
from swapnet_ros.evaluation.direct.report_folder import ReportFolder
from swapnet_ros.evaluation.direct.results_file import read_frames, read_tail
from swapnet_ros.evaluation.direct.timings_file import read_timings
from swapnet_ros.evaluation.report.quantities import NS_PER_S
from swapnet_ros.evaluation.report.run_record import (
    NO_RESULTS,
    UNKNOWN,
    MemoryRecord,
    Refusals,
    ReportRecord,
    ResultsRecord,
    RunRecord,
    TaskTimes,
    read_json,
)


def read_report(folder: Path) -> ReportRecord:
    """Read a report's folder, and those of the budgets that it was compared with.

    Raises:
        InputError: it holds no evaluation.
    """
    files = ReportFolder(path=folder)
    if not files.results.is_file() and not files.figures.is_file():
        raise InputError(
            f"{folder} holds no evaluation: there is neither results.json nor figures.json; "
            "`swapnet evaluate BAG --config FILE --out FOLDER` makes one"
        )
    run = read_run(folder)
    faults = list(run.faults)
    comparison = read_json(files.comparison, faults)
    # the report may lie elsewhere than where it was made: the folders are below it by their names
    names = [Path(row["folder"]).name for row in comparison.get("runs", ())[1:]]
    others = {name: read_run(folder / name) for name in names if (folder / name).is_dir()}
    run = replace(run, faults=faults)
    return ReportRecord(run=run, comparison=comparison, others=others)


def read_run(folder: Path) -> RunRecord:
    """Read one evaluation; what cannot be read is told in `faults`."""
    faults: list[str] = []
    files = ReportFolder(path=folder)
    results = _read_results(files.results, faults)
    figures = read_json(files.figures, faults)
    times, memory = _read_times(files.timings, faults)
    return RunRecord(
        path=folder,
        figures=_checked_figures(files, figures, results, faults),
        setup=read_json(files.progress, faults).get("setup", UNKNOWN),
        results=results,
        times=times,
        memory=_read_memory(files.memory, faults) or memory,
        timeline=read_json(files.timeline, faults),
        samples=read_json(files.samples, faults).get("samples", ()),
        curve=read_json(files.curve, faults),
        faults=faults,
    )


def _checked_figures(
    files: ReportFolder, figures: Mapping[str, Any], results: ResultsRecord, faults: list[str]
) -> Mapping[str, Any]:
    """The figures, or sums of the timings where they do not belong to these results."""
    frames = figures.get("frames_done", 0)
    if figures.get("mode") == "replay" or (figures and frames == results.frames):
        return figures
    faults.append(
        f"figures.json is of the first {frames} frames, and there are {results.frames}; what "
        "follows is summed up from timings.csv"
        if figures
        else "figures.json is not there, since the evaluation did not come to its end; times are "
        "summed up from timings.csv, and machine, configuration and plan are not known"
    )
    try:
        tasks, process_peak_bytes = sum_up(read_timings(files.timings))
    except (OSError, ValueError, TypeError) as error:
        faults.append(f"timings.csv cannot be summed up: {error}")
        return UNKNOWN
    return {"frames_done": results.frames, "tasks": tasks, "process_peak_bytes": process_peak_bytes}


def _read_results(path: Path, faults: list[str]) -> ResultsRecord:
    if not path.is_file():
        return NO_RESULTS
    frames, topics, sizes = 0, Counter[str](), Counter[str]()
    refusals: dict[str, Refusals] = {}
    first_ns = last_ns = 0
    try:
        for frame in read_frames(path):
            topics[frame["topic"]] += 1
            sizes[f"{frame['width']}x{frame['height']}"] += 1
            last_ns = frame["stamp_ns"]
            first_ns = first_ns if frames else last_ns
            _note_refusals(frame, refusals)
            frames += 1
        header, tail = _read_header(path), read_tail(path)
    except (OSError, ValueError, KeyError) as error:
        faults.append(f"results.json cannot be read after {frames} frames: {error!r}")
        header, tail = UNKNOWN, UNKNOWN
    return ResultsRecord(
        tasks=header.get("tasks", UNKNOWN),
        frames=frames,
        topics=dict(topics),
        sizes=dict(sizes),
        span_s=(last_ns - first_ns) / NS_PER_S if frames > 1 else None,
        refusals=refusals,
        tail=tail,
    )


def _note_refusals(frame: Mapping[str, Any], refusals: dict[str, Refusals]) -> None:
    for task, found in frame.get("results", UNKNOWN).items():
        if "refused" in found:
            known = refusals.get(task)
            refusals[task] = Refusals(
                count=known.count + 1 if known else 1,
                first_frame=known.first_frame if known else frame["frame"],
                reason=known.reason if known else found["refused"],
            )


def _read_header(path: Path) -> Mapping[str, Any]:
    with path.open(encoding="utf-8") as file:
        opening = file.readline()
    found: Mapping[str, Any] = json.loads(opening.rstrip() + "]}")
    return found


def _read_times(path: Path, faults: list[str]) -> tuple[dict[str, TaskTimes], MemoryRecord]:
    """Times by task, and the process's memory frame by frame where it stands beside them."""
    times: dict[str, TaskTimes] = {}
    memory = MemoryRecord()
    numbers = count()
    try:
        for row in _rows(path):
            number = int(row.get("frame") or next(numbers))
            _add_times(times.setdefault(row["task"], TaskTimes()), row, number)
            if "process_bytes" in row and (not memory.places or memory.places[-1] != number):
                memory.places.append(number)
                memory.process_bytes.append(float(row["process_bytes"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        faults.append(f"timings.csv cannot be read to its end: {error!r}")
    return times, memory


def _add_times(times: TaskTimes, row: Mapping[str, str], number: int) -> None:
    latency = row.get("inference_s") or row.get("latency_s") or ""
    if not latency or row.get("inferences") == "0":  # refused, or no boxes to classify
        return
    times.frames.append(number)
    times.latency_s.append(float(latency))
    times.stall_s.append(float(row.get("stall_s") or 0.0))


def _read_memory(path: Path, faults: list[str]) -> MemoryRecord | None:
    """What was held by the clock; None where there is no such file, or nothing in it."""
    memory = MemoryRecord(axis="time since the beginning, s")
    columns: dict[str, array[float]] = {
        "t_s": memory.places,
        "core_bytes": memory.core_bytes,
        "process_bytes": memory.process_bytes,
        "budget_bytes": memory.budget_bytes,
    }
    try:
        for row in _rows(path):
            values = {key: float(row[key]) for key in columns}
            for key, value in values.items():
                columns[key].append(value)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        faults.append(f"memory.csv cannot be read to its end: {error!r}")
    return memory if memory.places else None


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)
