"""Accuracy against ground truth, and how frames and labels met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swapnet_ros.evaluation.report.blocks import (
    BAD,
    Block,
    Cell,
    Facts,
    Part,
    Section,
    Table,
    Text,
    missing,
)
from swapnet_ros.evaluation.report.headlines import accuracy_headline
from swapnet_ros.evaluation.report.quantities import NOT_MEASURED, number
from swapnet_ros.evaluation.report.run_record import UNKNOWN, RunRecord

_NAMES = {
    "map_50": "mAP at an overlap of 0.5",
    "map_50_95": "mAP at 0.5 to 0.95",
    "ap_50": "AP at 0.5",
    "ap_50_95": "AP at 0.5 to 0.95",
    "min_score": "smallest score that precision and recall count",
    "miou": "mIoU",
    "iou": "IoU",
    "top_1": "top-1",
    "accuracy": "TuSimple accuracy",
    "ego_lane_iou": "IoU of the camera's lane",
    "ego_lane_frames": "frames with the camera's lane",
}
_NS_PER_MS = 1e6
_MOST_CONFUSIONS = 12


def accuracy_section(run: RunRecord) -> Section:
    """Show every judged task's figures, by class where there are classes."""
    tail: Mapping[str, Any] = run.results.tail or run.figures
    accuracy = tail.get("accuracy", UNKNOWN)
    parts = [Part(title=name, blocks=_task(figures)) for name, figures in accuracy.items()]
    if not parts:
        text = "No ground truth was given (`--labels`), so accuracy is not known."
        return Section(anchor="accuracy", title="Accuracy", parts=[Part(blocks=[missing(text)])])
    meetings = tail.get("labels", UNKNOWN)
    if meetings:
        parts.append(Part(title="How frames and labels met", blocks=_meetings(meetings)))
    unjudged = [name for name in run.tasks if name not in accuracy]
    if unjudged:
        text = f"No labels are for the images of {', '.join(unjudged)}."
        parts.append(Part(blocks=[missing(text)]))
    return Section(anchor="accuracy", title="Accuracy", parts=parts)


def _task(figures: Mapping[str, Any]) -> list[Block]:
    if accuracy_headline(figures) is None:
        return [missing("No label is of this task's kind: there is nothing to make a figure of.")]
    plain = [
        (name_of(key), number(value))
        for key, value in figures.items()
        if value is None or isinstance(value, (int, float))
    ]
    blocks: list[Block] = [Facts(facts=plain)]
    if figures.get("classes"):
        blocks.append(_classes(figures["classes"]))
    if figures.get("confusion"):
        blocks += _confusions(figures["confusion"])
    if figures.get("only_in_labels"):
        words = ", ".join(
            f"{name} ({count:,})" for name, count in figures["only_in_labels"].items()
        )
        blocks.append(Text(text=f"Labelled, but unknown to the network: {words}."))
    if figures.get("only_found"):
        words = ", ".join(figures["only_found"])
        blocks.append(Text(text=f"Found, but not looked for by the labels: {words}."))
    return blocks


def name_of(key: str) -> str:
    """Return a figure's name for people."""
    return _NAMES.get(key, key.replace("_", " "))


def _classes(classes: Mapping[str, Mapping[str, Any]]) -> Table:
    keys = list(dict.fromkeys(key for each in classes.values() for key in each))
    return Table(
        columns=("class", *map(name_of, keys)),
        rows=[
            (name, *(number(figures.get(key)) for key in keys)) for name, figures in classes.items()
        ],
    )


def _confusions(confusion: Mapping[str, Mapping[str, int]]) -> list[Block]:
    """The most frequent mistakes."""
    wrong = [
        (count, labelled, found or "nothing")
        for labelled, answers in confusion.items()
        for found, count in answers.items()
        if found != labelled and count
    ]
    if not wrong:
        return []
    shown = sorted(wrong, key=lambda each: -each[0])[:_MOST_CONFUSIONS]
    left = len(wrong) - len(shown)
    return [
        Table(
            columns=("labelled", "found instead", "times"),
            rows=[(labelled, found, number(count)) for count, labelled, found in shown],
            note=f"The most frequent mistakes; {left} more kinds are in results.json."
            if left
            else "All mistakes.",
        )
    ]


def _meetings(meetings: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Block]:
    rows: list[Sequence[str | Cell]] = []
    for topic, sources in meetings.items():
        for met in sources:
            matched, frames = met["matched"], met["frames"]
            rows.append(
                (
                    topic,
                    Cell(text=f"{matched:,} of {frames:,}", tone="" if matched else BAD),
                    f"{met['labels_used']:,} of {met['labels_read']:,}",
                    _ms(met.get("tolerance_ns")),
                    _ms(met.get("largest_offset_ns")),
                    "; ".join(f"{text} ({times:,})" for text, times in met["problems"].items())
                    or "none",
                )
            )
    return [
        Table(
            columns=(
                *("images", "frames with labels", "labels with a frame", "tolerance"),
                *("longest time between", "problems"),
            ),
            rows=rows,
        )
    ]


def _ms(duration_ns: float | None) -> str:
    return NOT_MEASURED if duration_ns is None else f"{duration_ns / _NS_PER_MS:,.1f} ms"
