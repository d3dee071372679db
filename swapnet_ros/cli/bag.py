"""`swapnet bag`: makes a bag from a video, a folder of images or a camera; checks one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from swapnet_core.errors import InputError
from swapnet_core.sizes import format_size
from swapnet_ros.evaluation.bags.image_sources import open_source
from swapnet_ros.evaluation.bags.inspection import BagInfo, TopicInfo, inspect_bag
from swapnet_ros.evaluation.bags.making import BagOptions, MadeBag, make_bag
from swapnet_ros.evaluation.bags.reader import BagReader
from swapnet_ros.evaluation.bags.writer import BagStorage, ImageCompression
from swapnet_ros.evaluation.truth.file_truth import FileTruth
from swapnet_ros.evaluation.truth.label_files import KINDS, open_label_files

_PROBLEMS_FOUND = 1


SourceArgument = Annotated[
    str, typer.Argument(help="A video, a folder of images, a camera's number; a bag, for --info.")
]
OutOption = Annotated[Path | None, typer.Option(help="The bag's folder; it must not exist.")]
InfoOption = Annotated[
    bool, typer.Option("--info", help="Read a bag to its end; say what it holds, what is wrong.")
]
CompressedOption = Annotated[
    ImageCompression | None,
    typer.Option(help="Compress the images; files that are so already are taken as they are."),
]
StorageOption = Annotated[BagStorage, typer.Option(help="How to store it.")]
RateOption = Annotated[
    float | None,
    typer.Option(min=0.001, help="Images per second; a video has its own, a folder 10."),
]
TopicOption = Annotated[str, typer.Option(help="Topic of the images.")]
FrameIdOption = Annotated[str, typer.Option(help="Frame of the images' headers.")]
FramesOption = Annotated[
    int | None,
    typer.Option(min=1, help="How many images; a video or a folder with fewer starts over."),
]
LabelsOption = Annotated[
    Path | None, typer.Option(help="File or folder with the images' labels, which become topics.")
]
KindOption = Annotated[
    str | None,
    typer.Option(help=f"Kind of the labels, where a folder has several: {', '.join(KINDS)}."),
]
NamesOption = Annotated[
    str | None,
    typer.Option(help="Class names by number, with commas; else as they stand by the labels."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def bag(
    source: SourceArgument,
    out: OutOption = None,
    info: InfoOption = False,
    compressed: CompressedOption = None,
    storage: StorageOption = BagStorage.MCAP,
    rate: RateOption = None,
    topic: TopicOption = "/image",
    frame_id: FrameIdOption = "camera",
    frames: FramesOption = None,
    labels: LabelsOption = None,
    label_kind: KindOption = None,
    label_names: NamesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a bag from a video, a folder of images or a camera (Ctrl-C ends it), or check one."""
    if info:
        _inspect(Path(source), as_json=as_json)
        return
    if out is None:
        raise InputError("name the bag's folder with --out, or check a bag with --info")
    options = BagOptions(
        topic=_checked_topic(topic),
        frame_id=frame_id,
        storage=storage,
        compression=compressed,
        image_count=frames,
    )
    found = None if labels is None else _open_labels(labels, label_kind, label_names)
    images = open_source(source, rate_hz=rate)
    with _progress() as progress:
        task = progress.add_task("images", total=frames or images.image_count)
        made = make_bag(
            images,
            out,
            options,
            labels=found,
            progress=lambda done: progress.update(task, completed=done),
        )
    if as_json:
        print(json.dumps(asdict(made) | {"path": str(made.path)}, indent=2))
    else:
        _show_made(made, options, with_labels=found is not None)
    if labels is not None and made.labelled_count == 0:
        raise typer.Exit(_PROBLEMS_FOUND)


def _open_labels(path: Path, kind: str | None, names: str | None) -> FileTruth:
    given = () if names is None else tuple(name.strip() for name in names.split(","))
    return FileTruth(open_label_files(path, kind=kind, labels=given), tolerance_ns=0)


def _show_made(made: MadeBag, options: BagOptions, *, with_labels: bool) -> None:
    how = "stopped; " if made.is_interrupted else ""
    print(
        f"{how}{made.path}: {made.image_count} images on {made.topic}, {made.duration_s:.3f} s long"
    )
    if with_labels:
        print(f"{made.labelled_count} of them have labels, on topics below {options.labels_topic}")
    if made.ignored_boxes:
        print(
            f"{made.ignored_boxes} boxes are marked as not to count (difficult, or a crowd), which "
            "messages cannot say; they were left out: evaluate with the label files instead"
        )


def _inspect(path: Path, *, as_json: bool) -> None:
    with BagReader(path) as reader, _progress() as progress:
        task = progress.add_task("images", total=sum(reader.image_topics.values()))
        found = inspect_bag(reader, lambda done: progress.update(task, completed=done))
    if as_json:
        print(json.dumps(_to_json(found), indent=2))
    else:
        _show(found, Console())
    if found.problems:
        raise typer.Exit(_PROBLEMS_FOUND)


def _show(found: BagInfo, console: Console) -> None:
    size = format_size(found.size_bytes)
    console.print(f"{found.path}: {size} in {', '.join(found.files)}", highlight=False)
    table = Table(Column("topic", overflow="fold"), "type", "messages", "images", "rate", "format")
    for topic in found.topics:
        table.add_row(*map(escape, _cells(topic)))
    console.print(table)
    for problem in found.problems:
        line = f"[yellow]{problem.kind.value}:[/yellow] {escape(problem.sentence)}"
        console.print(line, highlight=False, soft_wrap=True)
    if not found.problems:
        console.print("nothing is wrong with it")


def _cells(topic: TopicInfo) -> tuple[str, ...]:
    cells = (topic.topic, topic.type, str(topic.message_count))
    if topic.image_count is None:
        return (*cells, "", "", "")
    return (*cells, str(topic.image_count), f"{topic.rate_hz:.2f} Hz", topic.image_format)


def _to_json(found: BagInfo) -> dict[str, Any]:
    return asdict(found) | {"path": str(found.path)}


def _checked_topic(topic: str) -> str:
    """Return a topic with its slash in front.

    Raises:
        InputError: ROS would not have such a name.
    """
    parts = topic.strip("/").split("/")
    if not all(part.isidentifier() and part.isascii() for part in parts):
        raise InputError(
            f"'{topic}' is no name of a topic: it has letters, digits and _ between slashes, "
            "and no digit right behind one"
        )
    return "/" + "/".join(parts)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
