"""Label files that are text, with errors that name them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from swapnet_ros.perception.errors import LabelsError


def read_text(path: Path) -> str:
    """Read a text file, with or without a byte order mark.

    Raises:
        LabelsError: it cannot be read, or is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelsError(f"labels file {path} cannot be read: {error}", path=path) from error


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        LabelsError: it cannot be read, or is no JSON.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise LabelsError(f"labels file {path} is no JSON: {error}", path=path) from error


def read_table(path: Path, *columns: str) -> list[dict[str, str]]:
    """Read a CSV file whose first line names its columns.

    Args:
        path: the file.
        *columns: those that it must have; it may have more.

    Raises:
        LabelsError: it cannot be read, lacks one of the columns, or a line lacks a value.
    """
    rows = list(csv.DictReader(read_text(path).splitlines()))
    missing = [column for column in columns if rows and column not in rows[0]]
    if missing or not rows:
        wanted = ",".join(columns)
        raise LabelsError(
            f"labels file {path} must begin with a line of column names, '{wanted}', and have "
            "lines below it",
            path=path,
        )
    for number, row in enumerate(rows, start=2):
        if any(row[column] is None for column in columns):
            raise LabelsError(f"{path}:{number}: a value is missing in this line", path=path)
    return rows
