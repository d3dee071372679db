"""Latency over residents: what a network gains from memory beside a streaming region. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from swapnet_core.atoms import Outline
from swapnet_core.candidates import Candidate, Room
from swapnet_core.exhaustive import ALL_LAYOUTS_ATOMS, list_all
from swapnet_core.partition import join_up_to
from swapnet_core.planner import all_outlines, choose, cost, cost_s
from swapnet_core.search import FEW_ATOMS, grow_residents
from swapnet_core.specs import DeviceProfile, NetworkProfile

_BLOCKS_PER_STREAM: tuple[int, ...] = (2, 4, 10)
_BATCH_SHARE = 0.15
_WIDE_BLOCKS_PER_STREAM: tuple[int, ...] = (3, 8)
_WIDE_BATCH_SHARE = 0.25
_TILINGS = 2
_NETWORKS = 32


class Point(NamedTuple):
    """What so many bytes of residents give.

    Attributes:
        cost_s: predicted latency; longer where layers are tiled, since outputs then change.
    """

    resident_bytes: int
    cost_s: float


class Curves:
    """What one network gains from residents, for any size of the streaming region.

    Remembers the points, not the plans, of every size. Any thread: at worst, two find the same.
    """

    def __init__(
        self, profile: NetworkProfile, device: DeviceProfile, activation_bytes: int
    ) -> None:
        self._profile = profile
        self._device = device
        self._activation_bytes = activation_bytes
        self.outlines = tuple(
            replace(outline, shares_stream=True)
            for outline in all_outlines(profile)
            if outline.activation_bytes <= activation_bytes
        )
        self._points: dict[int, tuple[Point, ...]] = {}

    @property
    def used_bytes(self) -> int:
        """With so many bytes of residents nothing is streamed."""
        return self.outlines[0].used_bytes

    def points(self, stream_bytes: int) -> tuple[Point, ...]:
        """Return the points worth having, from the fewest residents to the shortest latency.

        Args:
            stream_bytes: size of the streaming region.
        """
        if stream_bytes not in self._points:
            found = (
                Point(candidate.resident_bytes, cost_s(candidate))
                for candidate in self._sweep(stream_bytes)
            )
            self._points[stream_bytes] = tuple(_falling(found))
        return self._points[stream_bytes]

    def best(self, stream_bytes: int, resident_bytes: int) -> Candidate:
        """Plan for a streaming region and residents; the points say what fits."""
        room = Room(
            stream_bytes=stream_bytes,
            resident_bytes=resident_bytes,
            total_bytes=stream_bytes + resident_bytes,
            activation_bytes=self._activation_bytes,
            is_shared=True,
        )
        chosen = choose(self._profile, self._device, room)
        swept = (c for c in self._sweep(stream_bytes) if c.resident_bytes <= resident_bytes)
        return min(
            [*swept, *([chosen] if chosen else [])],
            key=cost,
        )

    def _sweep(self, stream_bytes: int) -> Iterator[Candidate]:
        for outline in self._outlines_at(stream_bytes):
            most_bytes = outline.used_bytes
            if len(outline.atoms) <= ALL_LAYOUTS_ATOMS:
                room = Room(
                    stream_bytes=stream_bytes,
                    resident_bytes=most_bytes,
                    total_bytes=stream_bytes + most_bytes,
                )
                yield from list_all(outline, self._device, room)
                continue
            blocks_per_stream, batch_share = _BLOCKS_PER_STREAM, _BATCH_SHARE
            if len(outline.atoms) > FEW_ATOMS:
                blocks_per_stream, batch_share = _WIDE_BLOCKS_PER_STREAM, _WIDE_BATCH_SHARE
            targets = [stream_bytes // blocks for blocks in blocks_per_stream]
            partitions = {
                p.runs: p for t in targets for p in [join_up_to(outline, self._device, t)]
            }
            for partition in partitions.values():
                yield from grow_residents(
                    partition,
                    self._device,
                    stream_bytes=stream_bytes,
                    resident_bytes=most_bytes,
                    batch_share=batch_share,
                )

    def _outlines_at(self, stream_bytes: int) -> list[Outline]:
        """Whole layers; and where one of them fills the region, the coarsest tiles that fit."""
        whole = [outline for outline in self.outlines if not outline.is_tiled]
        if whole and 2 * whole[0].slot_bytes <= stream_bytes:
            return whole
        tiled = (outline for outline in self.outlines if outline.is_tiled)
        fitting = [outline for outline in tiled if outline.slot_bytes <= stream_bytes]
        leanest = sorted(fitting, key=lambda outline: outline.pinned_bytes)[:1]
        chosen = [*fitting[:_TILINGS], *(o for o in leanest if o not in fitting[:_TILINGS])]
        return [*whole, *chosen]

    def __repr__(self) -> str:
        return f"<Curves of {self._profile.digest[:12]}, {len(self._points)} sizes>"


@lru_cache(maxsize=_NETWORKS)
def curves_of(profile: NetworkProfile, device: DeviceProfile, activation_bytes: int) -> Curves:
    """Return the curves of a network; the same object while it is among the newest.

    Args:
        profile: of the network.
        device: that it runs on.
        activation_bytes: ceiling for its activations; some tiling keeps to it.
    """
    return Curves(profile, device, activation_bytes)


def _falling(points: Iterable[Point]) -> Iterator[Point]:
    """Drop points that cost no less than one with fewer bytes."""
    least_s = float("inf")
    for point in sorted(points):
        if point.cost_s < least_s:
            least_s = point.cost_s
            yield point
