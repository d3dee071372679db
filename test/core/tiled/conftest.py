"""A network with tiled layers that runs by plans cut by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from swapnet_core.backends.cpu import HOST_COPIES, CpuBackend
from swapnet_core.copies import PrivateCopies
from swapnet_core.holding import Seat
from swapnet_core.ledger import Lease, MemoryLedger
from swapnet_core.loading import Example, prepare
from swapnet_core.planned_access import PlannedAccess, StoredAccess
from swapnet_core.recording import Inference
from swapnet_core.regions import JoinedRegion
from swapnet_core.runner import Runner
from swapnet_core.scheduler import Scheduler
from swapnet_core.specs import (
    NO_STEP,
    PAGE_BYTES,
    BlockSpec,
    NetworkProfile,
    SwapPlan,
    TileSpec,
    round_up,
)
from swapnet_core.swapper import FetchPool
from swapnet_core.testing import MemoryStore

_WIDTH = 160
_HIDDEN = 1024
_TOLERANCE = 1e-6
_TILES = {"wide": 256, "narrow": 32}
_INPUT = torch.randn(3, _WIDTH, generator=torch.Generator().manual_seed(1))


class _Net(nn.Module):
    """Two layers that may be tiled between small ones; `detour` is what it did not do before."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(_WIDTH, _WIDTH)
        self.wide = nn.Linear(_WIDTH, _HIDDEN)
        self.narrow = nn.Linear(_HIDDEN, _WIDTH)
        self.last = nn.Linear(_WIDTH, _WIDTH)
        self.detour = ""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.first(x))
        if self.detour == "early":
            x = torch.tanh(self.last(x))
        kept = self.wide.weight
        if self.detour == "norm":
            x = x / kept.norm()
        if self.detour == "twice":
            x = x + functional.linear(x, kept).mean()
        if self.detour == "thread":
            x = x + _in_a_thread(lambda: functional.linear(x, kept)).mean()
        if self.detour == "caught":
            with pytest.raises(RuntimeError, match="dtype"):
                functional.linear(x.double(), kept)
        x = torch.tanh(functional.linear(x, kept, self.wide.bias))
        if self.detour == "again":
            x = x + functional.linear(x, self.wide.weight.T)[..., :1]
        x = torch.tanh(self.narrow(x))
        if self.detour == "late":
            x = torch.tanh(self.narrow(self.wide(x)))
        if self.detour == "broken":
            raise ValueError(self.detour)
        return self.last(x)


def _in_a_thread(compute: Callable[[], torch.Tensor]) -> torch.Tensor:
    found: list[torch.Tensor] = []

    def run() -> None:
        with torch.inference_mode():
            found.append(compute())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


def _cut(
    profile: NetworkProfile,
    tile_rows: Mapping[str, int],
    *,
    slots: int,
    residents: Collection[int],
) -> SwapPlan:
    """Plan a network of one layer per cell by hand.

    Args:
        profile: of the network.
        tile_rows: for the layers that are tiled: rows per tile.
        slots: for streamed blocks, each as long as the longest one.
        residents: numbers of blocks that stay.
    """
    layers = profile.trace.layers
    found: list[BlockSpec] = []
    blocks_of: dict[int, list[int]] = {}
    for cell in profile.cells:
        (layer,) = range(*cell.layers)
        rows = tile_rows.get(layers[layer].name)
        if rows is None:
            found.append(_block(cell.offset_bytes, cell.size_bytes, layers[layer].weights))
            blocks_of[layer] = [len(found) - 1]
            continue
        weight, bias = layers[layer].weights
        tiles = _tile_blocks(profile, weight, rows)
        blocks_of[layer] = list(range(len(found), len(found) + len(tiles)))
        found += [*tiles, _pages_around(profile, bias)]
    tiled = {block for blocks in blocks_of.values() for block in blocks}
    stays = {n for n in range(len(found)) if n in residents or n not in tiled}
    return _lay_out(profile, found, stays, slots, blocks_of)


def _block(
    offset_bytes: int, size_bytes: int, weights: tuple[int, ...], tile: TileSpec | None = None
) -> BlockSpec:
    return BlockSpec(
        weights=weights,
        file_offset_bytes=offset_bytes,
        size_bytes=size_bytes,
        slot_offset_bytes=0,
        is_resident=False,
        tile=tile,
    )


def _pages_around(profile: NetworkProfile, weight: int) -> BlockSpec:
    begin = profile.weight_offsets_bytes[weight]
    first = begin // PAGE_BYTES * PAGE_BYTES
    end = round_up(begin + profile.trace.weights[weight].size_bytes)
    return _block(first, end - first, (weight,))


def _tile_blocks(profile: NetworkProfile, index: int, rows: int) -> list[BlockSpec]:
    weight = profile.trace.weights[index]
    row_bytes = weight.size_bytes // weight.shape[0]
    blocks = []
    for begin in range(0, weight.shape[0], rows):
        end = min(begin + rows, weight.shape[0])
        offset = profile.weight_offsets_bytes[index] + begin * row_bytes
        first = offset // PAGE_BYTES * PAGE_BYTES
        size = round_up(offset + (end - begin) * row_bytes) - first
        tile = TileSpec(weight=index, rows=(begin, end), offset_bytes=offset - first)
        blocks.append(_block(first, size, (), tile))
    return blocks


def _lay_out(
    profile: NetworkProfile,
    found: list[BlockSpec],
    stays: Collection[int],
    slots: int,
    blocks_of: Mapping[int, list[int]],
) -> SwapPlan:
    slot_bytes = max(block.size_bytes for n, block in enumerate(found) if n not in stays)
    end = stream_bytes = slots * slot_bytes
    blocks, streamed = [], 0
    for number, block in enumerate(found):
        if number in stays:
            blocks.append(replace(block, slot_offset_bytes=end, is_resident=True))
            end += block.size_bytes
        else:
            blocks.append(replace(block, slot_offset_bytes=streamed % slots * slot_bytes))
            streamed += 1
    uses: list[int] = []
    step_uses = []
    for layer in profile.trace.steps:
        used = [block for block in blocks_of[layer] if block not in stays]
        step_uses.append(len(uses) if used else NO_STEP)
        uses += used
    return SwapPlan(
        budget_bytes=end,
        blocks=tuple(blocks),
        uses=tuple(uses),
        step_uses=tuple(step_uses),
        stream_bytes=stream_bytes,
        region_bytes=end,
        activation_bytes=0,
        fixed_bytes=0,
        streamed_bytes=0,
        predicted_latency_s=0.0,
        predicted_stall_s=0.0,
        compute_s=0.0,
        bound_s=0.0,
    )


class Bench:
    """A network that runs by plans cut by hand, from a store whose pages can break."""

    def __init__(self, root: Path) -> None:
        self.network = _Net().eval()
        prepared = prepare(
            root, self.network, Example(inputs=(_INPUT,), kwargs={}), None, lambda run: run()
        )
        self.profile = prepared.profile
        self.store = MemoryStore(prepared.block_file.path.read_bytes())
        weights = self.profile.trace.weights
        self._idle = StoredAccess(PrivateCopies(weights, self._fill, HOST_COPIES))
        self._copies = PrivateCopies(weights, self._fill, HOST_COPIES)
        self._assembly = prepared.assembly
        self._assembly.source = self._idle
        self._pool = FetchPool()
        self._boundary = Scheduler()
        self._ledger = MemoryLedger(0)

    def expect(self, detour: str = "") -> torch.Tensor:
        """What the network gives with all its weights."""
        self._assembly.source = self._idle
        self.network.detour = detour
        with torch.inference_mode():
            return self.network(_INPUT)

    def cut(
        self,
        tile_rows: Mapping[str, int] = _TILES,
        *,
        slots: int = 2,
        residents: Collection[int] = (),
    ) -> SwapPlan:
        """Plan the network by hand; see `_cut`."""
        return _cut(self.profile, tile_rows, slots=slots, residents=residents)

    def adopt(self, plan: SwapPlan) -> None:
        self._stream = self._pool.open_stream(plan.stream_bytes)
        streaming = CpuBackend().allocate(plan.stream_bytes)
        residents = CpuBackend().allocate(plan.region_bytes - plan.stream_bytes)
        region = JoinedRegion(plan, streaming, residents)
        self.lane = self._stream.open_lane(plan, region, self.store.read_into)
        self._seat = Seat(plan=plan, lane=self.lane, region=region)
        access = PlannedAccess(self, self._copies, self._idle, self._boundary)
        self._runner = Runner(self._assembly, access, self._idle)

    def seat(self) -> Seat:
        """The plan cut by hand."""
        return self._seat

    def lease_rest(self) -> Lease:
        """Nothing is free."""
        return self._ledger.lease_rest("test")

    def run(self, detour: str = "") -> Inference:
        """Run the network and compare it with itself."""
        expected = self.expect(detour)
        output, inference = self.run_plainly(detour)
        assert (output - expected).abs().max() <= _TOLERANCE * expected.abs().max()
        return inference

    def run_plainly(self, detour: str = "") -> tuple[torch.Tensor, Inference]:
        self.network.detour = detour
        return self._runner.run((_INPUT,), {})

    def drop_plan(self) -> None:
        self._stream.close_lane(self.lane)
        self._pool.close_stream(self._stream)

    def close(self) -> None:
        self._pool.close()
        self._boundary.close()
        self._assembly.detach()

    def _fill(self, weight: int, target: memoryview) -> int:
        offset = self.profile.weight_offsets_bytes[weight]
        start = offset % PAGE_BYTES
        pages = round_up(start + self.profile.trace.weights[weight].size_bytes)
        self.store.read_into(target[:pages], offset - start)
        return start


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("tiled"))
    yield bench
    bench.close()


@pytest.fixture
def bench(opened: Bench) -> Iterator[Bench]:
    """Two tiled layers and two slots; tiles of 256 and 32 rows."""
    opened.adopt(opened.cut())
    yield opened
    opened.store.mend()
    opened.drop_plan()
