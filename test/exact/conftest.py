"""What the exact suite shares: one cache directory, and the table at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

import pytest

_MIB = 1024 * 1024


@dataclass(frozen=True)
class ExactRow:
    """One network's line of the table.

    Attributes:
        ratio_budget_bytes: the first budget from demand/2.32 on whose plan has no tiles.
        ratio_streamed_bytes: read per inference at that budget.
        smallest_bytes: the smallest budget that the planner accepts.
        smallest_streamed_bytes: read per inference at that one.
        has_tiles: at the smallest budget.
        difference: there, the largest one between outputs, relative to the largest value.
    """

    network: str
    demand_bytes: int
    ratio_budget_bytes: int
    ratio_streamed_bytes: int
    smallest_bytes: int
    smallest_streamed_bytes: int
    has_tiles: bool
    difference: float


_ROWS = pytest.StashKey[list[ExactRow]]()


@pytest.fixture
def note_row(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Add a network to the table that is printed at the end of the session."""
    rows = request.config.stash.setdefault(_ROWS, [])
    return lambda **facts: rows.append(ExactRow(**facts))


@pytest.fixture(scope="session")
def cache_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for the session, so that storage is measured once."""
    root = tmp_path_factory.mktemp("cache")
    yield root
    rmtree(root, ignore_errors=True)


@pytest.fixture
def cache_dir(cache_root: Path) -> Iterator[Path]:
    """The session's cache; the test's block files are removed when it ends."""
    yield cache_root
    for folder in ("networks", "traces"):
        rmtree(cache_root / folder, ignore_errors=True)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    rows = config.stash.get(_ROWS, [])
    if not rows:
        return
    terminalreporter.section("outputs against plain ones (MiB; streamed: read per inference)")
    terminalreporter.write_line(
        f"{'network':<40}{'demand':>8}{'budget':>8}{'ratio':>7}{'streamed':>10}"
        f"{'smallest':>10}{'streamed':>10}  equal at the smallest"
    )
    for row in rows:
        terminalreporter.write_line(_line(row))


def _line(row: ExactRow) -> str:
    sizes = (
        f"{row.demand_bytes / _MIB:>8.1f}{row.ratio_budget_bytes / _MIB:>8.1f}"
        f"{row.demand_bytes / row.ratio_budget_bytes:>7.2f}{row.ratio_streamed_bytes / _MIB:>10.1f}"
        f"{row.smallest_bytes / _MIB:>10.1f}{row.smallest_streamed_bytes / _MIB:>10.1f}"
    )
    equal = "yes" if row.difference == 0.0 else f"{row.difference:.1e}"
    return f"{row.network:<40}{sizes}  {equal}{', with tiles' if row.has_tiles else ''}"
