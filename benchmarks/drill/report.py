"""A drill as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from drill.checks import OUTCOMES, Finding, ages_s, trends
from drill.record import Drill
from drill.troubles import CAMERAS, Shot
from swapnet_core.reports import LatencyStats, summarize_latencies
from swapnet_ros.evaluation.run_summary import describe_machine, describe_versions

_MIB = 2**20


def markdown(drill: Drill, findings: Sequence[Finding]) -> str:
    """Write the tables: cameras, nodes, the process, and what was checked."""
    parts = (_cameras(drill), _nodes(drill), _process(drill), _findings(findings))
    return "\n\n".join(parts) + "\n"


def write_json(path: Path, drill: Drill, findings: Sequence[Finding]) -> None:
    """Write all figures, with the machine and the versions."""
    facts: dict[str, Any] = {
        "scenario": drill.scenario,
        "duration_s": drill.duration_s,
        "demand_bytes": drill.demand_bytes,
        "kills": drill.kills,
        "findings": [asdict(each) for each in findings],
        "sent": {name: _sent(drill, name) for name in drill.sent},
        "nodes": {
            node: {
                "counts": dict(drill.counts[node]),
                "results_by_camera": _by_camera(drill, node),
                "age_s": _as_dict(summarize_latencies(ages_s(drill, node))),
            }
            for node in drill.topics
        },
        "trends": {name: asdict(each) for name, each in trends(drill.holdings).items()},
        "holdings": [asdict(each) for each in drill.holdings],
        "core": [asdict(each) for each in drill.core],
        "problems": list(drill.problems),
        "machine": describe_machine(),
        "versions": describe_versions(),
    }
    path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cameras(drill: Drill) -> str:
    rows = [
        [
            camera.name,
            camera.story,
            *(str(count) for count in _sent(drill, camera.name).values()),
        ]
        for camera in CAMERAS
    ]
    return table(["camera", "every 30 s", "sent", "repeated", "broken"], rows)


def _sent(drill: Drill, camera: str) -> dict[str, int]:
    log = drill.sent[camera]
    return {
        "sent": len(log.sent),
        "repeated": log.count(Shot.REPEATED),
        "broken": log.count(Shot.BROKEN),
    }


def _nodes(drill: Drill) -> str:
    cameras = [camera.name for camera in CAMERAS]
    head = ["node", "received", *OUTCOMES, f"results of {' / '.join(cameras)}"]
    rows = []
    for node in drill.topics:
        counts, by_camera = drill.counts[node], _by_camera(drill, node)
        age = summarize_latencies(ages_s(drill, node))
        rows.append(
            [
                f"`{node}`",
                *(str(counts[name]) for name in ("received", *OUTCOMES)),
                " / ".join(str(by_camera.get(camera, 0)) for camera in cameras),
                _milliseconds(age),
            ]
        )
    return table([*head, "age when begun, p50 / p99 / max, ms"], rows)


def _milliseconds(age: LatencyStats | None) -> str:
    if age is None:
        return "-"
    return " / ".join(f"{value * 1e3:.0f}" for value in (age.p50, age.p99, age.max))


def _by_camera(drill: Drill, node: str) -> Mapping[str, int]:
    first = drill.topics[node][0]
    found: dict[str, int] = {}
    for each in drill.heard:
        if each.topic == first:
            found[each.camera] = found.get(each.camera, 0) + 1
    return found


def _process(drill: Drill) -> str:
    rows = []
    for name, found in trends(drill.holdings).items():
        in_mib = name.endswith("_bytes")
        title = f"{name.removesuffix('_bytes')}, MiB" if in_mib else name
        values = (found.first, found.last, found.per_min, found.largest)
        rows.append(
            [title, *(f"{value / _MIB:.2f}" if in_mib else f"{value:.2f}" for value in values)]
        )
    return table(
        ["process", "median of the first third", "of the last", "slope per min", "largest"], rows
    )


def _findings(findings: Sequence[Finding]) -> str:
    rows = [["ok" if each.holds else "**FAILED**", each.claim, each.figures] for each in findings]
    return table(["", "checked", "figures"], rows)


def _as_dict(stats: LatencyStats | None) -> dict[str, float] | None:
    return None if stats is None else asdict(stats)
