"""Weights that are used out of the planned order: private copies, in the room of given-up slots."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from swapnet_core.backends.base import CopyMemory
from swapnet_core.binding import BoundTile
from swapnet_core.copies import PrivateCopies
from swapnet_core.errors import BudgetTooSmallError
from swapnet_core.lane import ReadInto
from swapnet_core.sizes import format_size
from swapnet_core.specs import PAGE_BYTES, WeightSpec, round_up


class FaultCopies:
    """Copies of weights and tiles, as far as there is room. For the thread of the inferences."""

    def __init__(
        self,
        weights: Sequence[WeightSpec],
        copies: PrivateCopies,
        tiles: Sequence[BoundTile],
        read_into: ReadInto,
        budget_bytes: int,
    ) -> None:
        """Start without room.

        Args:
            weights: of the network.
            copies: makes copies of them.
            tiles: that copies may be wanted of.
            read_into: fills memory from the block file.
            budget_bytes: that the plan was made for; stated in errors.
        """
        self._room_bytes = 0
        self._memory = copies.memory
        self._weights = weights
        self._copies = copies
        self._tiles = tiles
        specs = [tile.spec for tile in tiles]
        self._tile_copies = PrivateCopies(specs, self._fill_tile, copies.memory)
        self._read_into = read_into
        self._budget_bytes = budget_bytes

    def open_room(self, memory: CopyMemory, room_bytes: int) -> None:
        """Let copies lie there until `close_room`."""
        self._memory, self._room_bytes = memory, room_bytes

    def close_room(self) -> None:
        """Let no more copies be made."""
        self._room_bytes = 0

    def check_over(self) -> None:
        """See `CopyMemory.check_over`."""
        self._memory.check_over()

    def copy_weight(self, index: int) -> torch.Tensor:
        """Read a weight.

        Raises:
            BudgetTooSmallError: it does not fit beside the copies that are still referred to.
            StorageError: it cannot be read.
        """
        return self._copy(self._copies, index, self._weights[index])

    def copy_tile(self, tile: BoundTile) -> torch.Tensor:
        """Read a tile; see `copy_weight`."""
        return self._copy(self._tile_copies, self._tiles.index(tile), tile.spec)

    def _copy(self, copies: PrivateCopies, index: int, wanted: WeightSpec) -> torch.Tensor:
        live_bytes = self._copies.live_bytes + self._tile_copies.live_bytes
        short_bytes = live_bytes + wanted.size_bytes - self._room_bytes
        if short_bytes > 0:
            raise self._no_room(wanted, short_bytes)
        try:
            return copies.make(index, memory=self._memory)
        except MemoryError as error:  # there is room, but not in one piece
            raise self._no_room(wanted, wanted.size_bytes) from error

    def _no_room(self, wanted: WeightSpec, short_bytes: int) -> BudgetTooSmallError:
        return BudgetTooSmallError(
            f"{wanted.name!r} is used out of the traced order, and there is no room to read "
            f"it: {format_size(short_bytes)} more are needed",
            needed_bytes=self._budget_bytes + short_bytes,
            budget_bytes=self._budget_bytes,
        )

    def _fill_tile(self, index: int, target: memoryview) -> int:
        """Read whole pages around a tile; return where in them it starts."""
        tile = self._tiles[index]
        start = tile.file_offset_bytes % PAGE_BYTES
        pages = round_up(start + tile.spec.size_bytes)
        self._read_into(target[:pages], tile.file_offset_bytes - start)
        return start
