"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CacheOption = Annotated[
    Path | None, typer.Option(help="Directory for block files; ~/.cache/swapnet by default.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
