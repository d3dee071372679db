"""What is to be evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swapnet_core.thread_priority import LOWEST
from swapnet_ros.evaluation.direct.direct_task import DirectTask


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectRequest:
    """What to evaluate.

    Attributes:
        bag: its path.
        out: folder of the report; made where there is none.
        tasks: what looks at the images.
        budget: a size, `auto`, or `unlimited` for the plain networks without the core.
        device: as the core takes it.
        host_budget: likewise; empty: none.
        read_priority: likewise.
        cache_dir: for block files; None for the user's cache folder.
        is_resumed: go on with what is in the folder.
        is_recorded: write the results as a bag, too.
        labels: where ground truth comes from, of JSON types; empty for none.
        configuration: what the user asked for, of JSON types, for the figures.
    """

    bag: Path
    out: Path
    tasks: Sequence[DirectTask]
    budget: str
    device: str = "auto"
    host_budget: str = ""
    read_priority: int = LOWEST
    cache_dir: Path | None = None
    is_resumed: bool = False
    is_recorded: bool = False
    labels: Mapping[str, Any] = field(default_factory=dict)
    configuration: Mapping[str, Any] = field(default_factory=dict)
