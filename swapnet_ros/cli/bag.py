"""`swapnet bag`: makes a bag from a video, a folder of images or a camera; checks one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swapnet_ros.cli.options import JsonOption
from swapnet_ros.evaluation.bags.formats import BagStorage, ImageCompression
from swapnet_ros.evaluation.truth.kinds import KINDS

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
        from swapnet_ros.cli.bag_info import check_bag

        is_good = check_bag(Path(source), as_json=as_json)
    else:
        from swapnet_core.errors import InputError
        from swapnet_ros.cli.bag_making import checked_topic, make_and_tell, open_labels
        from swapnet_ros.evaluation.bags.image_sources import open_source
        from swapnet_ros.evaluation.bags.making import BagOptions

        if out is None:
            raise InputError("name the bag's folder with --out, or check a bag with --info")
        options = BagOptions(
            topic=checked_topic(topic),
            frame_id=frame_id,
            storage=storage,
            compression=compressed,
            image_count=frames,
        )
        found = None if labels is None else open_labels(labels, label_kind, label_names)
        images = open_source(source, rate_hz=rate)
        is_good = make_and_tell(images, out, options, found, as_json=as_json)
    if not is_good:
        raise typer.Exit(_PROBLEMS_FOUND)
