"""Frozen facts: what a network, a device and a plan are. Data only, equal by value, JSON-able.

Terms are those of docs/design.md, section 1. Sizes are bytes, times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from swapnet_core.speeds import round_factor

PAGE_BYTES = 4096
"""Cells start on this boundary in the block file and in memory: what direct reads need."""

NO_STEP = -1
"""Marks an access that needs no bytes (only the shape was asked), or only resident ones."""

_TYPICAL_TILES = 8


def round_up(size_bytes: int, boundary_bytes: int = PAGE_BYTES) -> int:
    """Return the smallest multiple of `boundary_bytes` that is not below `size_bytes`."""
    return -(-size_bytes // boundary_bytes) * boundary_bytes


def typical_tile_rows(rows: int, unit_rows: int) -> int:
    """Return the rows of the tile by which a layer's tiles are judged: an eighth of all."""
    return max(unit_rows, rows // _TYPICAL_TILES // unit_rows * unit_rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSpec:
    """One stored tensor: a parameter, under all names that it has in the network.

    Attributes:
        name: first state-dict name.
        aliases: further names of the same parameter (tied weights).
        dtype: safetensors name of the element type, e.g. `F32`.
        shape: sizes per dimension, as the network sees them.
        stride: elements to step per dimension, as the network sees them.
        size_bytes: stored bytes, without padding.
        requires_grad: as in the network. torch folds batches into matrix products by it, also in
            inference mode (`should_fold` in its LinearAlgebra.cpp), so that bits depend on it.
    """

    name: str
    aliases: tuple[str, ...]
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    size_bytes: int
    requires_grad: bool


def bytes_spec(size_bytes: int) -> WeightSpec:
    """Describe plain bytes as a weight."""
    return WeightSpec(
        name="bytes",
        aliases=(),
        dtype="U8",
        shape=(size_bytes,),
        stride=(1,),
        size_bytes=size_bytes,
        requires_grad=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpec:
    """Weights that are needed together: the smallest uncut piece of a network.

    Attributes:
        name: module path of the (first) owner of the weights.
        weights: indices into the profile's weights, in order of first access.
        is_pinned: read without being asked for by name, or held across many layers: it must
            stay resident.
        tile_unit_rows: where the layer may run a slice of its largest weight's first dimension
            at a time: slices are multiples of so many rows. 0: it runs only as a whole.
    """

    name: str
    weights: tuple[int, ...]
    is_pinned: bool = False
    tile_unit_rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTrace:
    """What one real forward taught.

    Attributes:
        weights: all stored tensors.
        layers: in order of first use; layers that were never used come last.
        accesses: index of the weight at every access, in order.
        access_steps: for every access the step that must be current, or `NO_STEP`.
        steps: layer of every step, in order. A layer used twice has two steps.
        step_compute_s: compute time of every step, while nothing is read.
        step_tile_s: for every step, by how much longer it takes for each tile that it is run by;
            0 where it cannot be.
        head_compute_s: compute time before the first step.
        head_activation_bytes: peak of activations and operator scratch before the first step.
        step_activation_bytes: the same in every step, with its layer whole.
        step_tile_activation_bytes: the same, with the layer run by typical tiles (see
            `typical_tile_rows`), if it can be.
        step_live_bytes: what is live of them when a step begins, without what is kept beside it.
        step_growth_bytes: by how much more is live at a step's peak, with its layer whole.
        step_tile_growth_bytes: the same, with the layer run by typical tiles.
        kept_bytes: the part of each of these that stays between inferences, such as kernels.
        buffer_bytes: buffers, which stay in memory.
    """

    weights: tuple[WeightSpec, ...]
    layers: tuple[LayerSpec, ...]
    accesses: tuple[int, ...]
    access_steps: tuple[int, ...]
    steps: tuple[int, ...]
    step_compute_s: tuple[float, ...]
    step_tile_s: tuple[float, ...]
    head_compute_s: float
    head_activation_bytes: int
    step_activation_bytes: tuple[int, ...]
    step_tile_activation_bytes: tuple[int, ...]
    step_live_bytes: tuple[int, ...]
    step_growth_bytes: tuple[int, ...]
    step_tile_growth_bytes: tuple[int, ...]
    kept_bytes: int
    buffer_bytes: int

    @property
    def activation_bytes(self) -> int:
        """Peak of activations and operator scratch, with all layers whole."""
        return max(self.head_activation_bytes, *self.step_activation_bytes, 0)

    @property
    def compute_s(self) -> float:
        """Compute time of one inference with everything in memory."""
        return self.head_compute_s + sum(self.step_compute_s)

    def holding_more(self, size_bytes: int) -> NetworkTrace:
        """Return the same for a network beside which so much more is held all the time."""
        return replace(
            self,
            head_activation_bytes=self.head_activation_bytes + size_bytes,
            step_activation_bytes=tuple(n + size_bytes for n in self.step_activation_bytes),
            step_tile_activation_bytes=tuple(
                n + size_bytes for n in self.step_tile_activation_bytes
            ),
            kept_bytes=self.kept_bytes + size_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSpec:
    """The smallest piece of the block file that can be read and checked by itself.

    Cells are runs of consecutive layers; blocks are runs of consecutive cells, chosen by the plan.

    Attributes:
        layers: half-open range of layer indices.
        offset_bytes: where the cell starts in the block file; a multiple of `PAGE_BYTES`.
        size_bytes: including padding; a multiple of `PAGE_BYTES`.
        digest: SHA-256 of the cell's bytes, hexadecimal.
    """

    layers: tuple[int, int]
    offset_bytes: int
    size_bytes: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkProfile:
    """A traced network and its block file: all that planning needs.

    Attributes:
        digest: name of the block file (its content).
        cells: in file order, which is execution order.
        weight_offsets_bytes: place of every weight in the block file.
    """

    digest: str
    trace: NetworkTrace
    cells: tuple[CellSpec, ...]
    weight_offsets_bytes: tuple[int, ...]

    @property
    def weight_bytes(self) -> int:
        """Stored weights, with the padding between them."""
        return sum(cell.size_bytes for cell in self.cells)

    @property
    def demand_bytes(self) -> int:
        """What the network needs with everything in memory."""
        trace = self.trace
        weights = sum(weight.size_bytes for weight in trace.weights)
        return weights + trace.buffer_bytes + trace.activation_bytes

    def slowed(self, factor: float) -> NetworkProfile:
        """Return the same network on a machine whose compute takes `factor` times as long."""
        trace = replace(
            self.trace,
            step_compute_s=tuple(duration_s * factor for duration_s in self.trace.step_compute_s),
            step_tile_s=tuple(duration_s * factor for duration_s in self.trace.step_tile_s),
            head_compute_s=self.trace.head_compute_s * factor,
        )
        return replace(self, trace=trace)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceProfile:
    """Measured once per storage and machine.

    Attributes:
        read_bandwidth_bytes_per_s: sustained direct reads while compute runs.
        read_latency_s: fixed cost of one block's read beside its transfer, with others under way.
        compute_slowdown: by which share compute takes longer while reads run (0.05: 5 %).
        copy_bandwidth_bytes_per_s: of copies from pinned host memory to a discrete GPU; None where
            there are none.
        wake_s: by what compute takes longer for each block that is read, however small: a reading
            thread wakes and takes a core, and the operator's other threads wait for the one that
            lost its own. Not measured; see docs/benchmarks.md for where it comes from.
    """

    read_bandwidth_bytes_per_s: float
    read_latency_s: float
    compute_slowdown: float
    wake_s: float = 1e-4
    copy_bandwidth_bytes_per_s: float | None = None

    def read_s(self, size_bytes: int) -> float:
        """Predict the time of one block's read."""
        return self.read_latency_s + size_bytes / self.read_bandwidth_bytes_per_s

    def with_bandwidth(self, bandwidth_bytes_per_s: float) -> DeviceProfile:
        """Return the same device with other storage, to the next 5 %."""
        factor = round_factor(bandwidth_bytes_per_s / self.read_bandwidth_bytes_per_s)
        bandwidth = self.read_bandwidth_bytes_per_s * factor
        return replace(self, read_bandwidth_bytes_per_s=bandwidth)

    def with_host_share(self, share: float) -> DeviceProfile:
        """Return the device as blocks see it of whose bytes a share is in host memory already.

        See [Note: two speeds] in `host_tier.py`.
        """
        copies = self.copy_bandwidth_bytes_per_s
        if copies is None or share <= 0.0:
            return self
        storage = self.read_bandwidth_bytes_per_s / (1.0 - share) if share < 1.0 else copies
        latency_s = self.read_latency_s * (1.0 - share)
        return replace(
            self, read_bandwidth_bytes_per_s=min(storage, copies), read_latency_s=latency_s
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TileSpec:
    """A part of one weight: whole slices along its first dimension.

    Attributes:
        weight: index of the weight.
        rows: half-open range of slices.
        offset_bytes: where the slices start in the block that holds them.
    """

    weight: int
    rows: tuple[int, int]
    offset_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSpec:
    """A stretch of the block file that is moved and released as a whole.

    Attributes:
        weights: the weights that it holds whole; empty where it holds a tile.
        file_offset_bytes: where the block starts in the block file; a multiple of `PAGE_BYTES`.
        size_bytes: a multiple of `PAGE_BYTES`. A block may begin and end inside of a page that
            another one shares.
        slot_offset_bytes: where its slot starts: streamed blocks lie in `[0, stream_bytes)` of
            the plan, residents behind that.
        is_resident: stays in its slot from one inference to the next.
        tile: what it holds of a weight that is larger than its room.
    """

    weights: tuple[int, ...]
    file_offset_bytes: int
    size_bytes: int
    slot_offset_bytes: int
    is_resident: bool
    tile: TileSpec | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapPlan:
    """The immutable choice of blocks, residents, slots and prefetch order.

    Attributes:
        budget_bytes: the share that the plan was made for.
        blocks: in file order; every cell that is ever used lies in exactly one.
        uses: the streamed block of every use, in order: also the prefetch order, and cyclic.
        step_uses: for every step of the trace the use that must be current, or `NO_STEP` where
            the step's block is resident. A tiled step has one use per tile, in a row; this is
            the first.
        stream_bytes: memory for the slots of streamed blocks.
        region_bytes: memory for all slots.
        activation_bytes: peak of activations and operator scratch by this plan.
        fixed_bytes: the same, and buffers.
        streamed_bytes: read per inference, in the steady state.
        predicted_latency_s: of one inference, back to back with others of the same network.
        predicted_stall_s: part of it that compute waits for blocks.
        compute_s: of one inference with all layers whole and in memory, as the plan takes it to be.
        bound_s: no schedule is faster: `max(compute, bytes / bandwidth)`.
        host_bytes: pinned host memory in which streamed requests stay; see `host_tier.py`.
        graph_bytes: counted for CUDA graphs of each network with these weights; 0: there are none.
    """

    budget_bytes: int
    blocks: tuple[BlockSpec, ...]
    uses: tuple[int, ...]
    step_uses: tuple[int, ...]
    stream_bytes: int
    region_bytes: int
    activation_bytes: int
    fixed_bytes: int
    streamed_bytes: int
    predicted_latency_s: float
    predicted_stall_s: float
    compute_s: float
    bound_s: float
    host_bytes: int = 0
    graph_bytes: int = 0

    @property
    def peak_bytes(self) -> int:
        """All that the network holds at its peak; at most `budget_bytes`."""
        return self.region_bytes + self.fixed_bytes + self.graph_bytes

    @property
    def is_exact(self) -> bool:
        """Whether outputs equal the network's bit for bit; tiles may change the last bits."""
        return all(block.tile is None for block in self.blocks)

    @property
    def compute_slowdown(self) -> float:
        """How many times as long compute takes by this plan, beside reads and in tiles."""
        if self.compute_s <= 0.0:
            return 1.0
        return max(1.0, (self.predicted_latency_s - self.predicted_stall_s) / self.compute_s)

    @property
    def resident_bytes(self) -> int:
        """Bytes of the blocks that stay."""
        return sum(block.size_bytes for block in self.blocks if block.is_resident)
