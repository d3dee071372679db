"""What `swapnet verify` finds in a cache directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from swapnet_core.errors import BlockCorruptError
from swapnet_core.sizes import format_size
from swapnet_core.stored import StoredNetwork, list_stored


def verify_all(cache_dir: Path | None) -> list[dict[str, Any]]:
    """Compare every block file with its digests; a row for each, of JSON types.

    Args:
        cache_dir: where they lie; None for the user's cache folder.
    """
    return [_check(stored) for stored in list_stored(cache_dir)]


def verify_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Lay the rows out."""
    table = Table("network", "size", "state")
    for row in rows:
        table.add_row(row["digest"], format_size(row["size_bytes"]), row["state"])
    return table


def _check(stored: StoredNetwork) -> dict[str, Any]:
    try:
        stored.verify()
        state = "good"
    except BlockCorruptError as error:
        state = str(error)
    return {"digest": stored.digest, "size_bytes": stored.size_bytes, "state": state}
