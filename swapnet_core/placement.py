"""Where all loaded networks' weights lie: one streaming region, and residents beside it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

from swapnet_core.arena import Arena
from swapnet_core.backends.base import Region
from swapnet_core.errors import SwapNetError
from swapnet_core.holding import Holding
from swapnet_core.specs import SwapPlan
from swapnet_core.stream import Stream
from swapnet_core.swapper import FetchPool

Plans = Mapping[Holding, SwapPlan]


class Placement:
    """Moves holdings from their present plans to others.

    For the inference thread, between blocks; `expect` for any.
    """

    def __init__(self, pool: FetchPool, arena: Arena) -> None:
        self._pool = pool
        self._arena = arena
        self._stream: Stream | None = None
        self._region: Region | None = None

    def move(self, plans: Plans, make_room: Callable[[], None]) -> None:
        """Put every holding under its plan; those whose plan stays keep their bytes.

        Args:
            plans: of all holdings.
            make_room: called when everything that changes has been given back, and before the
                new slots are leased.

        Raises:
            SwapNetError: some slots cannot be had, or residents not be read. The other
                holdings go on; these try again whenever they are to run.
        """
        size_bytes = max((plan.stream_bytes for plan in plans.values()), default=0)
        keeps_stream = self._stream is not None and self._stream.size_bytes == size_bytes
        changed = [h for h in plans if not keeps_stream or h.plan != plans[h]]
        open_stream = functools.partial(self._open_stream, size_bytes)
        for number, holding in enumerate(changed):
            holding.assign(f"residents {number}", plans[holding], open_stream)
        if not keeps_stream:
            self._close_stream()
        make_room()
        errors: list[SwapNetError] = []
        for holding in changed:
            try:
                holding.seat()
            except SwapNetError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def expect(self, holdings: Sequence[Holding]) -> None:
        """Say which will run, in order, the present one first; see `Stream.expect`."""
        stream = self._stream
        if stream is not None:
            lanes = [holding.lane for holding in holdings]
            stream.expect([lane for lane in lanes if lane is not None])

    def close(self) -> None:
        """Give the streaming region back; the holdings are closed. Idempotent."""
        self._close_stream()

    def _open_stream(self, size_bytes: int) -> tuple[Stream, Region]:
        if self._stream is None or self._region is None:
            region = self._arena.allocate("streamed blocks", size_bytes)
            try:
                stream = self._pool.open_stream(size_bytes)
            except BaseException:
                self._arena.release(region)
                raise
            self._stream, self._region = stream, region
        return self._stream, self._region

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._pool.close_stream(self._stream)
        if self._region is not None:
            self._arena.release(self._region)
        self._stream = self._region = None

    def __repr__(self) -> str:
        return f"<Placement {self._stream!r}>"
