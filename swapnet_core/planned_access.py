"""Who answers a network's accesses to its weights: by the plan, one inference after the other.

[Note: faults]
The plan knows the order of accesses from the trace. The first access that differs (a branch that
was not taken while tracing) ends the plan for this inference: fetching stops, the slots that
nobody holds are given up, and every further weight that is not in memory comes as a private copy
from the block file, which lives as long as the network refers to it. Slower, and still exact. The
next inference starts by the plan again.

[Note: moves]
At the boundary of two blocks nothing of the old block is in use any more, and what waits for such
a moment runs there: a new budget may put the weights under another plan. The inference then goes
on from the same access under the new one. Networks with pinned layers do not take part: they hold
weights across boundaries.

Inferences can also be captured (no block is fetched then), and replayed (blocks are entered
without the network); see [Note: graphs] in `graphs.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

import torch

from swapnet_core.backends.base import ComputeQueue
from swapnet_core.binding import NO_BLOCK, BoundTile, bind_weights
from swapnet_core.copies import PrivateCopies
from swapnet_core.entering import find_boundaries, find_entries, find_place, find_work
from swapnet_core.errors import NetworkError
from swapnet_core.faults import FaultCopies
from swapnet_core.holding import Seat
from swapnet_core.ledger import Lease
from swapnet_core.recording import Entry
from swapnet_core.reports import BlockRead
from swapnet_core.specs import NO_STEP, NetworkProfile, SwapPlan
from swapnet_core.tiles import Rows

_PAST_THE_END = -1
_NO_THREAD = 0


class Boundary(Protocol):
    """What is to happen between two blocks; see [Note: moves]."""

    @property
    def is_interrupted(self) -> bool:
        """Whether something waits."""
        ...

    def run_interruptions(self) -> None:
        """Run it."""
        ...


class Seats(Protocol):
    """Where a network's weights are at present."""

    @property
    def profile(self) -> NetworkProfile:
        """Of the network."""
        ...

    def seat(self) -> Seat:
        """Return what to run by."""
        ...

    def lease_rest(self) -> Lease:
        """Take what is free in the budget."""
        ...


class Guard(Protocol):
    """Who makes room for what operators take; see `HeapGuard`."""

    def follow(self, plan: SwapPlan) -> Sequence[int]:
        """Take note of a plan; return, for every access, whether it wants `before` (not 0)."""
        ...

    def before(self, access: int) -> None:
        """Make room for what an access begins."""
        ...


class StoredAccess:
    """Answers accesses outside of inferences with copies from the block file. Any thread."""

    def __init__(self, copies: PrivateCopies) -> None:
        self._copies = copies

    def access(self, weight: int) -> torch.Tensor:
        """Read one weight."""
        return self._copies.make(weight)


class PlannedAccess:
    """Answers the accesses of one network's inferences, one inference after the other.

    A tiled weight is given out without its bytes. The operator that reads it asks for the tiles,
    and each of them enters its own use; see `TiledWeight`. Only the thread that called `start` is
    served by the plan; others get private copies.
    """

    def __init__(
        self,
        seats: Seats,
        copies: PrivateCopies,
        idle: StoredAccess,
        boundary: Boundary,
        guard: Guard | None = None,
    ) -> None:
        """Bind the weights to their present slots.

        Raises:
            StorageError, RuntimeClosedError: there are none.
        """
        self.faults = 0
        self.entries: list[Entry] = []
        self.moved_s = 0.0
        self._has_moved = False
        self._seats = seats
        self._copies = copies
        self._idle = idle
        self._boundary = boundary
        self._guard = guard
        trace = seats.profile.trace
        self._weights = trace.weights
        self._can_move = find_boundaries(trace)
        # The sentinel makes every access past the end, or after a fault, take the slow way.
        self._expected = (*trace.accesses, _PAST_THE_END)
        self._cursor = 0
        self._use = NO_STEP
        self._tile_use = NO_STEP
        self._is_plan_over = False
        self._rest: Lease | None = None
        self._thread = _NO_THREAD
        self._capture_block: Callable[[int], None] | None = None
        self._sit(seats.seat())

    def _sit(self, seat: Seat) -> None:
        """Point every weight at its slot, once for the life of a plan."""
        profile, plan = self._seats.profile, seat.plan
        self._seat = seat
        self._plan, self._lane, self._region = plan, seat.lane, seat.region
        self._bound = bind_weights(profile, plan, seat.region, self)
        self._tensors = self._bound.tensors
        tiles = [tile for found in self._bound.tiles.values() for tile in found]
        self._tile_of_block = {tile.block: tile for tile in tiles}
        self._faulted = FaultCopies(
            self._weights, self._copies, tiles, seat.lane.read_into, plan.budget_bytes
        )
        self._entering = find_entries(profile.trace.access_steps, plan.step_uses)
        growing = self._guard.follow(plan) if self._guard is not None else ()
        self._has_work = find_work(self._can_move, self._entering, growing)

    @property
    def queue(self) -> ComputeQueue:
        """Where the network computes."""
        return self._lane.queue

    @property
    def reads(self) -> Collection[BlockRead] | None:
        """The newest reads by the plan; None where the inference began by another one."""
        return None if self._has_moved else self._lane.reads

    @property
    def went_as_traced(self) -> bool:
        """Whether the newest inference made all accesses in the traced order: no fault, no less."""
        return not self._is_plan_over and self._cursor == len(self._expected) - 1

    def holds(self, tensor: torch.Tensor) -> bool:
        """Tell whether a tensor's bytes are in a slot."""
        return self._region.holds(tensor)

    def start(self) -> None:
        """Begin an inference on the calling thread.

        Raises:
            StorageError, RuntimeClosedError: the network has no plan.
        """
        seat = self._seats.seat()
        if seat is not self._seat:
            self._sit(seat)
        self._lane.begin()
        self._go_to_start()

    @property
    def seat(self) -> Seat:
        """What inferences that start now run by.

        Raises:
            StorageError, RuntimeClosedError: the network has no plan.
        """
        return self._seats.seat()

    def enter(self, use: int) -> bool:
        """Enter a use for kernels that are replayed; the uses of an inference in their order.

        Returns:
            Whether that is done. If not, another plan came into force instead; `start` begins anew.

        Raises:
            StorageError, RuntimeClosedError: see `Lane.enter`.
        """
        if self._boundary.is_interrupted:
            self._boundary.run_interruptions()
            if self._seats.seat() is not self._seat:
                return False
        if use != NO_STEP:
            self._enter_block(use)
        return True

    def skip_to_end(self) -> None:
        """Take note that all accesses were made, by replayed kernels."""
        self._cursor = len(self._expected) - 1

    def start_capture(self, enter_block: Callable[[int], None]) -> None:
        """Begin a pass on the calling thread in which nothing computes, so nothing is fetched.

        Args:
            enter_block: called where a use would be entered.
        """
        self._go_to_start()
        self._capture_block = enter_block

    def finish_capture(self) -> None:
        """End a complete one.

        Raises:
            NetworkError: weights were not accessed as in the trace.
        """
        went_as_traced = self.went_as_traced
        self.abort()
        if not went_as_traced:
            raise _not_as_traced()

    def _go_to_start(self) -> None:
        self._thread = threading.get_ident()
        self._cursor = 0
        self._use = NO_STEP
        self._tile_use = NO_STEP
        self._faulted.close_room()
        self._is_plan_over = False
        self.faults = 0
        self.entries = []
        self.moved_s = 0.0
        self._has_moved = False

    def finish(self) -> None:
        """End a complete inference.

        Raises:
            NetworkError: it keeps a weight that was used out of order; see `CopyMemory`.
        """
        self._leave()
        if self.went_as_traced:
            self._lane.finish()
        else:
            self._lane.abort()
            self._faulted.check_over()

    def abort(self) -> None:
        """End an inference that raised, or a pass that is captured."""
        self._leave()
        if self._capture_block is None:
            self._lane.abort()
        self._capture_block = None

    def _leave(self) -> None:
        self._thread = _NO_THREAD
        if self._rest is not None:
            self._rest.release()
            self._rest = None

    def access(self, weight: int) -> torch.Tensor:
        """Return a weight whose bytes are in place until the layers after it are entered."""
        cursor = self._cursor
        if self._expected[cursor] != weight or self._thread != threading.get_ident():
            return self._access_unplanned(weight)
        if self._has_work[cursor]:
            if self._can_move[cursor] and self._boundary.is_interrupted:
                self._move(cursor)
            if self._guard is not None:
                self._guard.before(cursor)
            use = self._entering[cursor]
            if use != NO_STEP:
                self._enter(use)
        self._cursor = cursor + 1
        return self._tensors[weight]

    def read_tiles(self, weight: int) -> Iterator[tuple[Rows, torch.Tensor]]:
        """Bring in the tiles of a weight, one after the other; see `TileSource`."""
        if self._thread != threading.get_ident():
            yield (0, self._weights[weight].shape[0]), self._idle.access(weight)
            return
        tiles = self._bound.tiles[weight]
        use = self._take_tile_use(weight)
        if use == NO_STEP and not all(self._is_resident(tile) for tile in tiles):
            self._give_up_plan()
            self.faults += 1
        for tile in tiles:
            if self._is_resident(tile):
                yield tile.rows, tile.tensor
            elif use == NO_STEP:
                yield tile.rows, self._faulted.copy_tile(tile)
            else:
                self._enter_block(use)
                entered = self._tile_of_block[self._plan.uses[use]]
                yield entered.rows, entered.tensor
                use += 1

    def read_whole(self, weight: int) -> torch.Tensor:
        """Return a private copy of a weight that has tiles."""
        if self._thread != threading.get_ident():
            return self._idle.access(weight)
        self._give_up_plan()
        self.faults += 1
        return self._faulted.copy_weight(weight)

    def _enter(self, use: int) -> None:
        if self._plan.uses[use] in self._tile_of_block:
            self._tile_use = use  # the operator that reads the tiles enters them
            return
        self._tile_use = NO_STEP
        self._enter_block(use)
        self._use = use

    def _enter_block(self, use: int) -> None:
        if self._capture_block is not None:
            self._capture_block(use)
            return
        waited_s = self._lane.enter(use)
        self.entries.append(Entry(self._plan.uses[use], waited_s, time.perf_counter()))

    def _take_tile_use(self, weight: int) -> int:
        """Return the first use of a weight's tiles, once; `NO_STEP` where they are not next."""
        use, self._tile_use = self._tile_use, NO_STEP
        if use == NO_STEP or self._tile_of_block[self._plan.uses[use]].weight != weight:
            return NO_STEP
        self._use = NO_STEP  # entering a tile gives up what was entered before
        return use

    def _is_resident(self, tile: BoundTile) -> bool:
        return self._plan.blocks[tile.block].is_resident

    def _move(self, cursor: int) -> None:
        """Let happen what waits for a boundary; go on from here if there is a new plan."""
        if self._capture_block is not None:
            return  # nothing computes; it happens at the end of the job
        begin_s = time.perf_counter()
        self._boundary.run_interruptions()
        seat = self._seats.seat()
        if seat is not self._seat:
            self._sit(seat)
            self._has_moved = True
            use, first = find_place(self._entering, self._seats.profile, seat.plan, cursor)
            self._lane.begin(first)
            self._use = NO_STEP
            self.moved_s += time.perf_counter() - begin_s
            if use != NO_STEP:
                self._enter(use)
        else:
            self.moved_s += time.perf_counter() - begin_s

    def _access_unplanned(self, weight: int) -> torch.Tensor:
        """See [Note: faults]."""
        if self._thread != threading.get_ident():
            return self._idle.access(weight)
        self._give_up_plan()
        block = self._bound.blocks[weight]
        is_held = block != NO_BLOCK and self._lane.holds(block, self._use)
        if is_held or weight in self._bound.tiles:
            return self._tensors[weight]
        self.faults += 1
        return self._faulted.copy_weight(weight)

    def _give_up_plan(self) -> None:
        """Idempotent."""
        if self._is_plan_over:
            return
        if self._capture_block is not None:
            raise _not_as_traced()
        self._cursor = len(self._expected) - 1
        self._is_plan_over = True
        self._tile_use = NO_STEP
        spans = self._lane.freeze(self._use)
        self._rest = self._seats.lease_rest()
        rest_bytes = self._rest.size_bytes
        free_bytes = sum(end - begin for begin, end in spans)
        memory = self._region.give_up(spans, rest_bytes)
        self._faulted.open_room(memory, free_bytes + rest_bytes)


def _not_as_traced() -> NetworkError:
    return NetworkError("it does not use its weights in the traced order")
