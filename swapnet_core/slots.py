"""Which blocks lie in a streaming region, or are on their way there."""

from __future__ import annotations

from swapnet_core.lane import Lane, Occupant


class Slots:
    """The occupants of one streaming region. For one thread at a time: the stream has the lock."""

    def __init__(self) -> None:
        self._occupants: list[Occupant] = []
        self._stuck_until = 0

    def is_stuck(self, released: int) -> bool:
        """Tell whether `make_room` would fail again: nothing that was in its way is released.

        Args:
            released: number of the first use that is not released yet.
        """
        return released < self._stuck_until

    def make_room(self, begin: int, end: int, released: int) -> bool:
        """Give up what lies between two addresses, or return False while it is wanted.

        Args:
            begin: first byte in the region.
            end: behind the last one.
            released: as for `is_stuck`.
        """
        there = []
        for occupant in self._occupants:
            if occupant.begin < end and begin < occupant.end:
                if occupant.is_wanted_from(released):
                    self._stuck_until = occupant.numbers[-1] + 1
                    return False
                if occupant.pending:
                    return False
                there.append(occupant)
        for occupant in there:
            self._occupants.remove(occupant)
            del occupant.lane.held[occupant.block]
        return True

    def add(self, occupant: Occupant) -> None:
        """Take note of a block that is fetched now."""
        self._occupants.append(occupant)

    def forget(self, occupant: Occupant) -> None:
        """A block is not there after all. Nothing for those that are residents."""
        if occupant in self._occupants:
            self._occupants.remove(occupant)
        self._stuck_until = 0

    def forget_lane(self, lane: Lane) -> None:
        """A network's blocks are not there any more."""
        self._occupants = [o for o in self._occupants if o.lane is not lane]
        self._stuck_until = 0

    def keep_only(self, lane: Lane, block: int) -> Occupant | None:
        """Give up all slots but that of one block, which is returned if it is there."""
        kept = [o for o in self._occupants if o.lane is lane and o.block == block]
        for occupant in set(self._occupants) - set(kept):
            occupant.lane.held.pop(occupant.block, None)
        self._occupants = kept
        self._stuck_until = 0
        return kept[0] if kept else None

    def take_back(self, base: int) -> None:
        """Nobody wants what was fetched for the uses from a number on."""
        for occupant in self._occupants:
            while occupant.is_wanted_from(base):
                occupant.numbers.pop()
        self._stuck_until = 0

    def take_all_back(self) -> None:
        """Nobody wants any of it; it stays where it is."""
        for occupant in self._occupants:
            occupant.numbers.clear()
        self._stuck_until = 0

    def __len__(self) -> int:
        return len(self._occupants)

    def __repr__(self) -> str:
        return f"<Slots of {len(self)} blocks>"
