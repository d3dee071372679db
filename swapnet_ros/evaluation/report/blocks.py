"""What the page is made of: facts for the template, which only lays them out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

GOOD, BAD, PLAIN = "good", "bad", ""
MISSING = "missing"
_NUMBER = re.compile("\\d|\N{MULTIPLICATION SIGN}|\N{EN DASH}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A paragraph.

    Attributes:
        tone: how it is coloured: `GOOD`, `BAD`, `MISSING` or `PLAIN`.
    """

    kind: ClassVar[str] = "text"
    text: str
    tone: str = PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One headline figure.

    Attributes:
        note: a line below the value.
    """

    label: str
    value: str
    note: str = ""
    tone: str = PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """Headline figures side by side."""

    kind: ClassVar[str] = "tiles"
    tiles: Sequence[Tile]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One of several sizes that are compared.

    Attributes:
        share: of the longest one, 0..1.
        role: name of its colour.
    """

    label: str
    value: str
    share: float
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Sizes as horizontal bars."""

    kind: ClassVar[str] = "bars"
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell of a table that is more than a number or a word."""

    text: str
    tone: str = PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under headings; the first column names its row.

    Attributes:
        note: what the columns mean, below the table.
    """

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    note: str = ""

    @property
    def cells(self) -> list[list[Cell]]:
        """The rows, with nothing but cells."""
        return [
            [each if isinstance(each, Cell) else Cell(text=each) for each in row]
            for row in self.rows
        ]

    @property
    def are_numbers(self) -> list[bool]:
        """Which columns have nothing but numbers: those stand below each other by their ends."""
        columns = zip(*self.cells, strict=True)
        found = [all(_NUMBER.match(cell.text) for cell in column) for column in columns]
        return found or [False] * len(self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Names and values."""

    kind: ClassVar[str] = "facts"
    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LegendEntry:
    """A colour and what it stands for.

    Attributes:
        role: name of the colour, as in `palette`.
    """

    role: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A drawing with its caption.

    Attributes:
        svg: as `svg_chart.to_svg` makes it.
        caption: what it shows.
        legend: its colours; names of tasks and budgets stand here and not in the drawing.
    """

    kind: ClassVar[str] = "chart"
    svg: Markup
    caption: str
    legend: Sequence[LegendEntry] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image with its caption.

    Attributes:
        source: a data URI; empty where there is no picture, which the note then explains.
    """

    source: str
    caption: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Pictures of one frame."""

    kind: ClassVar[str] = "pictures"
    title: str
    pictures: Sequence[Picture]


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Text as it was written."""

    kind: ClassVar[str] = "code"
    text: str


Block = Text | Tiles | Bars | Table | Facts | Chart | Pictures | Code


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Blocks under a heading of their own; without a title, those at the section's beginning.

    Attributes:
        is_narrow: two such parts fit side by side.
    """

    blocks: Sequence[Block]
    title: str = ""
    is_narrow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section of the page, with its place in the contents bar."""

    anchor: str
    title: str
    parts: Sequence[Part]


def missing(text: str) -> Text:
    """Say that something is not there, and why."""
    return Text(text=text, tone=MISSING)
