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
        short: one or two words.
        reason: what was compared, or why nothing was.
        tone: of the words.
    """

    short: str
    reason: str
    tone: str


_NONE = Verdict(
    short="not compared",
    reason="`--against unlimited` compares with the plain networks",
    tone=PLAIN,
)


def results_verdict(comparison: Mapping[str, Any]) -> Verdict:
    """Judge an evaluation by its comparison with the reference; an empty one was not made.

    Where the evaluation is the reference itself, the worst of the others is judged.
    """
    rows = [row for row in comparison.get("runs", ()) if row.get("against_reference")]
    if not rows:
        return _NONE
    own = rows[0] if rows[0] is comparison["runs"][0] else max(rows, key=_different)
    verdict = row_verdict(own)
    others = sum(not row["against_reference"]["is_equal"] for row in rows if row is not own)
    reason = f"{verdict.reason} under {own['budget'] or 'its budget'}"
    reason += f", against {comparison['reference']}"
    if others:
        reason += f"; under {counted(others, 'other budget')} results differ"
    return Verdict(short=verdict.short, reason=reason, tone=verdict.tone)


def row_verdict(row: Mapping[str, Any]) -> Verdict:
    """Judge one evaluation of a comparison."""
    difference = row.get("against_reference")
    if difference is None:
        return Verdict(short="reference", reason="", tone=PLAIN)
    frames = counted(difference["frames"], "frame")
    if difference["is_equal"]:
        return Verdict(short="equal", reason=frames, tone=GOOD)
    reason = f"{difference['different']:,} of {frames}"
    if difference["is_accuracy_equal"] is False:
        reason += ", and the accuracy"
    return Verdict(short="different", reason=reason, tone=BAD)


def _different(row: Mapping[str, Any]) -> int:
    return int(row["against_reference"]["different"])
