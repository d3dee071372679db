"""`swapnet bag --info`: what a bag holds, and what is wrong with it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from swapnet_core.sizes import format_size
from swapnet_ros.cli.images_bar import images_bar
from swapnet_ros.evaluation.bags.inspection import BagInfo, TopicInfo, inspect_bag
from swapnet_ros.evaluation.bags.reader import BagReader


def check_bag(path: Path, *, as_json: bool) -> bool:
    """Read a bag to its end and tell what was found.

    Args:
        path: its folder or file.
        as_json: print JSON instead of a table.

    Returns:
        Whether nothing is wrong with it.

    Raises:
        BagError: there is none, or nothing of it can be read.
    """
    with BagReader(path) as reader, images_bar() as progress:
        task = progress.add_task("images", total=sum(reader.image_topics.values()))
        found = inspect_bag(reader, lambda done: progress.update(task, completed=done))
    if as_json:
        print(json.dumps(_to_json(found), indent=2))
    else:
        _show(found, Console())
    return not found.problems


def _show(found: BagInfo, console: Console) -> None:
    size = format_size(found.size_bytes)
    console.print(f"{found.path}: {size} in {', '.join(found.files)}", highlight=False)
    names = (Column(name, overflow="fold") for name in ("topic", "type"))
    table = Table(*names, "messages", "images", "rate", "format")
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
