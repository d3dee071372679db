"""Sample frames with their results drawn in."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from swapnet_ros.evaluation.direct.report_folder import ReportFolder
from swapnet_ros.evaluation.report.blocks import (
    Block,
    Part,
    Picture,
    Pictures,
    Section,
    Text,
    missing,
)
from swapnet_ros.evaluation.report.quantities import NS_PER_S
from swapnet_ros.evaluation.report.run_record import RunRecord

_TOLD = (
    "Frames spread evenly over the bag, chosen by their number alone: they are the same in every "
    "evaluation of it."
)


def samples_section(run: RunRecord) -> Section:
    """Show the frames, with a picture for every task that looked at them."""
    frames = [_frame(run, sample) for sample in run.samples]
    is_one_each = all(len(frame.pictures) == 1 for frame in frames)
    blocks: list[Block] = _in_one(frames) if frames and is_one_each else list(frames)
    if blocks:
        blocks.insert(0, Text(text=_TOLD))
    else:
        blocks.append(missing("There is no samples/samples.json: no frame was drawn."))
    return Section(anchor="samples", title="Sample frames", parts=[Part(blocks=blocks)])


def _in_one(frames: list[Pictures]) -> list[Block]:
    """Frames with one picture each, side by side."""
    pictures = [
        replace(picture, caption=f"{picture.caption}; {frame.title}")
        for frame in frames
        for picture in frame.pictures
    ]
    return [Pictures(title="", pictures=pictures)]


def _frame(run: RunRecord, sample: Mapping[str, Any]) -> Pictures:
    seconds, nanoseconds = divmod(int(sample["stamp_ns"]), NS_PER_S)
    stamp = f"{seconds}.{nanoseconds // 1_000_000:03d} s"
    return Pictures(
        title=f"Frame {sample['frame']:,}: {sample['topic']}, stamp {stamp}",
        pictures=[_picture(run, each) for each in sample.get("pictures", ())],
    )


def _picture(run: RunRecord, picture: Mapping[str, Any]) -> Picture:
    task = str(picture["task"])
    remark = "random weights: this means nothing"
    caption = f"{task} ({remark})" if run.tasks.get(task, {}).get("random_weights") else task
    if "refused" in picture:
        return Picture(source="", caption=caption, note=f"refused: {picture['refused']}")
    # the name alone: a page shows nothing from outside of its folder
    name = str(picture["file"]).rpartition("/")[2]
    path = ReportFolder(path=run.path).samples.with_name(name)
    try:
        packed = base64.b64encode(path.read_bytes()).decode("ascii")
    except OSError:
        return Picture(source="", caption=caption, note=f"{path.name} is not there any more")
    return Picture(source=f"data:image/jpeg;base64,{packed}", caption=caption)
