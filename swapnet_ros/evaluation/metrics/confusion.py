"""How often what was labelled as one class was found as another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

NOTHING = ""
"""Stands for no class: nothing was found, or nothing that counts."""


class Confusion:
    """Counts by the labelled and the found class's names. Use from one thread."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, int]] = {}

    def add(self, labelled: str, found: str, count: int = 1) -> None:
        """Count pixels or images that are labelled as one class and were found as another."""
        row = self._counts.setdefault(labelled, {})
        row[found] = row.get(found, 0) + count

    def merge(self, other: Mapping[str, Mapping[str, int]]) -> None:
        """Add the counts of another one's `as_dict`."""
        for labelled, row in other.items():
            for found, count in row.items():
                self.add(labelled, found, count)

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Counts by labelled class, then by found class; sorted, for JSON."""
        return {name: dict(sorted(self._counts[name].items())) for name in sorted(self._counts)}

    def __iter__(self) -> Iterator[str]:
        """Labelled classes, sorted."""
        return iter(sorted(self._counts))

    def right(self, name: str) -> int:
        """Labelled and found as this class."""
        return self._counts.get(name, {}).get(name, 0)

    def labelled(self, name: str) -> int:
        """Labelled as this class."""
        return sum(self._counts.get(name, {}).values())

    def found(self, name: str) -> int:
        """Found as this class, where any class is labelled."""
        return sum(row.get(name, 0) for row in self._counts.values())

    def found_names(self) -> set[str]:
        """Classes that were found."""
        return {name for row in self._counts.values() for name in row if name != NOTHING}
