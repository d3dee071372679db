"""Whether results are the same as another evaluation's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swapnet_ros.evaluation.report.blocks import BAD, GOOD, PLAIN
from swapnet_ros.evaluation.report.quantities import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a comparison of results came to.

    Attributes:
        short: two or three words.
        reason: what was compared, or why nothing was.
        tone: of the words.
    """

    short: str
    reason: str
    tone: str


def results_verdict(comparison: Mapping[str, Any]) -> Verdict:
    """Judge a whole comparison; an empty one was not made."""
    rows = [row for row in comparison.get("runs", ()) if row.get("against_reference")]
    if not rows:
        return Verdict(
            short="not compared",
            reason="--against unlimited compares with the plain networks",
            tone=PLAIN,
        )
    reference = comparison["reference"]
    frames = counted(rows[0]["against_reference"]["frames"], "frame")
    if comparison.get("is_equal"):
        return Verdict(short="equal", reason=f"{frames}, against {reference}", tone=GOOD)
    worst = max(rows, key=lambda row: row["against_reference"]["different"])
    different = worst["against_reference"]["different"]
    return Verdict(
        short="DIFFERENT",
        reason=f"{different:,} of {frames} under {worst['budget']}, against {reference}",
        tone=BAD,
    )


def row_verdict(row: Mapping[str, Any]) -> Verdict:
    """Judge one evaluation of a comparison."""
    difference = row.get("against_reference")
    if difference is None:
        return Verdict(short="reference", reason="", tone=PLAIN)
    if difference["is_equal"]:
        return Verdict(short="equal", reason="", tone=GOOD)
    reasons = [f"{difference['different']:,} of {difference['frames']:,} frames differ"]
    reasons += [
        f"frame {frame}: {', '.join(tasks) or 'only one has it'}"
        for frame, tasks in difference["first_different"]
    ]
    if not difference["is_accuracy_equal"]:
        reasons.append("accuracy differs")
    if not row.get("is_exact", True):
        reasons.append("layers run by tiles, which may change the last bits")
    return Verdict(short="DIFFERENT", reason="; ".join(reasons), tone=BAD)
