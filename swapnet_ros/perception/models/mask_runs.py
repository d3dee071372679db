"""Lane lines in a mask: runs of pixels in its rows, linked from near to far."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_WIDEST_SHARE = 0.25  # of the mask: what is wider is an area, not a line
_MOST_IN_A_ROW = 32  # a row with more is noise
_MOST_PIECES = 64  # the longest are looked at: keeps a mask of blots from taking seconds
_FEWEST_ROWS = 3
_ROWS_FOR_A_DIRECTION = 5
_DIRECTION_SHARE = 0.25  # of the mask's height: how much of an end tells where it points
_LONGEST_GAP_SHARE = 1 / 3  # of the mask's height: between two dashes
_CLOSE_SHARE = 0.015  # of the mask's width: how far beside a line its next dash may begin
_SAME_DIRECTION = 0.25  # radians


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Runs:
    """Pixels of a mask that stand side by side in a row; every array has one value for each run.

    Attributes:
        rows: int64, in mask pixels, ascending.
        starts: int64, the first column.
        ends: int64, the column after the last.
        centres: float64, where the probability has its mean, in mask pixels.
        weights: float64, sum of the probabilities.
        height: of the mask, in pixels.
        width: of the mask, in pixels.
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    centres: NDArray[np.float64]
    weights: NDArray[np.float64]
    height: int
    width: int


def find_runs(probability: NDArray[np.float32], threshold: float) -> Runs:
    """Find the runs that can be parts of a line.

    Args:
        probability: float32 [h, w], 0..1.
        threshold: smallest probability of a line's pixel, 0..1.

    Returns:
        The runs up to a quarter of the mask's width, without rows that have more than 32.
    """
    height, width = probability.shape
    inside = (probability >= threshold) & (probability > 0)
    steps = np.diff(np.pad(inside, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    # the pixels of all runs, one run after the other
    lengths = ends - starts
    firsts = lengths.cumsum() - lengths
    masses = probability[inside].astype(np.float64)
    weights = np.add.reduceat(masses, firsts)
    moments = np.add.reduceat(masses * (np.nonzero(inside)[1] + 0.5), firsts)
    is_line = lengths <= max(1, _WIDEST_SHARE * width)
    is_line &= np.bincount(rows, minlength=height)[rows] <= _MOST_IN_A_ROW
    return Runs(
        rows=rows[is_line],
        starts=starts[is_line],
        ends=ends[is_line],
        centres=(moments / weights)[is_line],
        weights=weights[is_line],
        height=height,
        width=width,
    )


def link_runs(runs: Runs) -> list[NDArray[np.int64]]:
    """Link the runs to lines.

    Runs that touch from row to row are one piece, up to where pieces meet or part: two lanes that
    touch far away stay two, and what they share is neither's unless it continues one. Then pieces
    that continue each other become one line: dashes.

    Returns:
        For each line the indices of its runs, from near (the lowest) to far, in distinct rows; at
        least 3, and as many as a twentieth of the mask has rows.
    """
    pieces = [piece for piece in _touching(runs) if len(piece.runs) >= _FEWEST_ROWS]
    pieces = sorted(pieces, key=lambda piece: -len(piece.runs))[:_MOST_PIECES]
    pieces.sort(key=lambda piece: -int(runs.rows[piece.runs[0]]))
    lines: list[list[int]] = []
    for piece in pieces:
        mismatches = [_mismatch(runs, line, piece.runs) for line in lines]
        best = min(mismatches, default=math.inf)
        if best <= max(1.0, _CLOSE_SHARE * runs.width):
            lines[mismatches.index(best)].extend(piece.runs)
        elif len(piece.runs) >= piece.shared_by:
            lines.append(list(piece.runs))
    fewest = max(_FEWEST_ROWS, runs.height / 20)
    return [np.asarray(line, dtype=np.int64) for line in lines if len(line) >= fewest]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Runs that touch from row to row.

    Attributes:
        runs: their indices, from near to far.
        shared_by: runs of the shorter of the pieces that meet where it begins; 0 where none do.
    """

    runs: list[int]
    shared_by: int = 0


def _touching(runs: Runs) -> list[_Piece]:
    """All pieces, each with one run in a row."""
    starts, ends = runs.starts.tolist(), runs.ends.tolist()
    open_pieces: dict[int, _Piece] = {}  # by the run that is its far end so far
    finished: list[_Piece] = []
    bounds = np.searchsorted(runs.rows, np.arange(runs.height + 1)).tolist()
    for row in range(runs.height - 1, -1, -1):
        nears_of = {
            run: [
                near
                for near in open_pieces
                if starts[run] <= ends[near] and starts[near] <= ends[run]
            ]
            for run in range(bounds[row], bounds[row + 1])
        }
        touches = Counter(near for nears in nears_of.values() for near in nears)
        advanced: dict[int, _Piece] = {}
        for run, nears in nears_of.items():
            if len(nears) == 1 and touches[nears[0]] == 1:
                advanced[run] = open_pieces.pop(nears[0])
                advanced[run].runs.append(run)
            else:
                met = [len(open_pieces[near].runs) for near in nears]
                advanced[run] = _Piece(runs=[run], shared_by=min(met) if len(met) > 1 else 0)
        finished.extend(open_pieces.values())
        open_pieces = advanced
    return [*finished, *open_pieces.values()]


def _mismatch(runs: Runs, line: Sequence[int], piece: Sequence[int]) -> float:
    """Distance in mask pixels between a piece and where the line before it points.

    The longer of the two tells where both should lie, and the distance is taken at the middle of
    the shorter, since the ends of dashes are often rounded.
    Infinite where the piece lies beside the line, too far away, or in another direction.
    """
    gap = runs.rows[line[-1]] - runs.rows[piece[0]]
    if not 0 < gap <= _LONGEST_GAP_SHARE * runs.height:
        return math.inf
    reach = max(_ROWS_FOR_A_DIRECTION, round(_DIRECTION_SHARE * runs.height))
    longer, shorter = sorted((line[-reach:], piece[:reach]), key=len, reverse=True)
    (row, column, slope), (other_row, other_column, other_slope) = (
        _direction(runs, end) for end in (longer, shorter)
    )
    turn = abs(math.atan(slope) - math.atan(other_slope))
    if len(shorter) >= _ROWS_FOR_A_DIRECTION and turn > _SAME_DIRECTION:
        return math.inf
    aside = column + slope * (other_row - row) - other_column
    return abs(aside) * math.cos(math.atan(slope))


def _direction(runs: Runs, end: Sequence[int]) -> tuple[float, float, float]:
    """Middle row and column of an end, and columns for each row by least squares."""
    rows, columns = runs.rows[list(end)].astype(np.float64), runs.centres[list(end)]
    aside = rows - rows.mean()
    return float(rows.mean()), float(columns.mean()), float(aside @ columns / (aside @ aside))
