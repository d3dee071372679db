"""Problems of the bag, and all that is needed to run the evaluation again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from swapnet_ros.evaluation.report.blocks import (
    Block,
    Code,
    Facts,
    Part,
    Section,
    Table,
    Text,
    missing,
)
from swapnet_ros.evaluation.report.quantities import NOT_MEASURED, milliseconds, percent, size
from swapnet_ros.evaluation.report.run_record import UNKNOWN, RunRecord


def problems_section(run: RunRecord) -> Section:
    """List what is wrong with the bag, and frames that tasks refused."""
    blocks: list[Block] = []
    tail = run.results.tail
    problems = tail.get("problems", run.figures.get("problems"))
    if problems is None:
        blocks.append(missing("The evaluation ended before the bag could be judged."))
    elif not problems:
        blocks.append(Text(text="Nothing was wrong with what was read of the bag.", tone="good"))
    else:
        blocks.append(
            Table(
                columns=("problem", "topic", "times", "what it means"),
                rows=[
                    (
                        problem["kind"],
                        problem.get("topic") or NOT_MEASURED,
                        f"{problem['count']:,}",
                        problem["sentence"],
                    )
                    for problem in problems
                ],
            )
        )
    if run.results.refusals:
        blocks.append(_refusals(run))
    return Section(anchor="problems", title="Problems", parts=[Part(blocks=blocks)])


def setup_section(run: RunRecord) -> Section:
    """Name machine, disk, versions and commit, and write the configuration out."""
    figures = run.figures
    parts = [
        Part(title="Program", blocks=[_facts_or(_program(figures), "commit and versions")]),
        Part(title="Machine", blocks=[_facts_or(_machine(figures), "the machine")]),
        Part(title="Storage", blocks=[_facts_or(_storage(figures), "the storage")]),
        Part(title="Configuration", blocks=[_configuration(run)]),
    ]
    return Section(anchor="setup", title="Setup", parts=parts)


def _refusals(run: RunRecord) -> Table:
    return Table(
        columns=("task", "frames refused", "first one", "why that one was refused"),
        rows=[
            (name, f"{each.count:,}", f"{each.first_frame:,}", each.reason)
            for name, each in run.results.refusals.items()
        ],
    )


def _facts_or(facts: list[tuple[str, str]], what: str) -> Block:
    return Facts(facts=facts) if facts else missing(f"The files do not name {what}.")


def _program(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not figures.get("versions"):
        return []
    commit = figures.get("commit") or "unknown: not run from a git checkout"
    versions = [
        (name.replace("_", " "), version or "none") for name, version in figures["versions"].items()
    ]
    return [("commit", commit), *versions]


def _machine(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            name.removesuffix("_bytes").replace("_", " "),
            size(value) if name.endswith("_bytes") else str(value),
        )
        for name, value in figures.get("machine", UNKNOWN).items()
    ]


def _storage(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    cache, storage = figures.get("cache", UNKNOWN), figures.get("storage", UNKNOWN)
    facts = [(f"block files: {key.replace('_', ' ')}", str(each)) for key, each in cache.items()]
    if storage:
        profile = storage.get("profile", UNKNOWN)
        facts += [
            ("read here at", _rate(storage.get("read_bandwidth_bytes_per_s"))),
            ("reads around the page cache", "yes" if storage.get("direct_io") else "no"),
            ("real-time priority of reads", str(storage.get("read_priority") or "none")),
            ("profile: read bandwidth", _rate(profile.get("read_bandwidth_bytes_per_s"))),
            ("profile: latency of a read", milliseconds(profile.get("read_latency_s"))),
            ("profile: compute slows while reading, by", percent(profile.get("compute_slowdown"))),
        ]
    return facts


def _rate(bandwidth: float | None) -> str:
    return NOT_MEASURED if not bandwidth else f"{size(bandwidth)}/s"


def _configuration(run: RunRecord) -> Block:
    told = run.figures.get("configuration") or run.setup
    if not told:
        return missing("The files have no configuration.")
    return Code(text=json.dumps(told, indent=2, ensure_ascii=False))
