"""Fixtures of the core's tests, and the networks and devices that their properties are for."""

from __future__ import annotations

import copy
import functools
import gc
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import nn
from torch.utils._pytree import tree_flatten, tree_map_only

from swapnet_core import (
    BudgetTooSmallError,
    ModelStats,
    SwappedModel,
    SwapRuntime,
)
from swapnet_core import device_profile as profiles
from swapnet_core import runtime as runtime_module
from swapnet_core.hardware import choose_hardware
from swapnet_core.lane import Lane
from swapnet_core.planner import make_plan
from swapnet_core.regions import JoinedRegion
from swapnet_core.simulated_cuda import SimulatedCuda, simulated_hardware
from swapnet_core.specs import DeviceProfile, NetworkProfile, SwapPlan
from swapnet_core.stream import Stream
from swapnet_core.swapper import FetchPool
from swapnet_core.testing import (
    SIMULATED_DEVICE,
    MemoryStore,
    SimulatedBackend,
    SimulatedRegion,
    open_leases,
    run_steps,
    simulated_profile,
    stored_pattern,
)

_PLENTY = "1GiB"
_SIMULATED = "simulated "
_PATIENCE_S = 30.0
_CGROUP_ROOTS = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))


@st.composite
def _profiles(draw: st.DrawFn) -> NetworkProfile:
    """Networks with repeated, pinned and unused layers, of any size and speed."""
    pages = draw(st.lists(st.integers(1, 600), min_size=1, max_size=24))
    count = len(pages)
    pinned = draw(st.sets(st.integers(0, count - 1), max_size=2))
    usable = [index for index in range(count) if index not in pinned]
    order = draw(st.lists(st.sampled_from(usable), max_size=40)) if usable else []
    steps = [cell for index, cell in enumerate(order) if index == 0 or order[index - 1] != cell]
    return simulated_profile(
        cell_bytes=[size * 4096 for size in pages],
        steps=steps,
        pinned=sorted(pinned),
        step_compute_s=draw(
            st.lists(st.floats(0.0, 0.02), min_size=len(steps), max_size=len(steps))
        ),
        activation_bytes=draw(st.integers(0, 1 << 20)),
        buffer_bytes=draw(st.integers(0, 1 << 16)),
    )


# What `@given(profile=..., device=...)` draws.
st.register_type_strategy(NetworkProfile, _profiles())
st.register_type_strategy(
    DeviceProfile,
    st.builds(
        DeviceProfile,
        read_bandwidth_bytes_per_s=st.floats(1e6, 1e10),
        read_latency_s=st.floats(0.0, 1e-3),
        compute_slowdown=st.floats(0.0, 0.5),
    ),
)


@pytest.fixture
def cache_dir(measured_storage: Path, tmp_path: Path) -> Iterator[Path]:
    """A cache directory of the test's own."""
    root = tmp_path / "cache"
    shutil.copytree(measured_storage, root)
    yield root
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """An empty memory cgroup of version 1 or 2; skips where the system lets us make none."""
    reasons = []
    for root in _CGROUP_ROOTS:
        path = root / f"swapnet-test-{os.getpid()}"
        try:
            path.mkdir()
        except OSError as error:
            reasons.append(str(error))
            continue
        if (path / "memory.max").exists() or (path / "memory.limit_in_bytes").exists():
            break
        path.rmdir()
        reasons.append(f"{root} has no memory controller")
    else:
        pytest.skip(f"no memory cgroup can be made: {'; '.join(reasons)}")
    yield path
    path.rmdir()


@pytest.fixture(autouse=True)
def no_leases_left() -> Iterator[None]:
    """Fail a test after which a ledger still holds leases."""
    before = open_leases()
    yield
    if open_leases() != before:
        gc.collect()
    left = [ledger for ledger in open_leases() if ledger not in before]
    assert not left, f"the test leaks leases: {', '.join(left)}"


@pytest.fixture
def check_bits(cache_dir: Path) -> Callable[..., ModelStats]:
    """Compare a network with its swapped self at two budgets; see `_check_bits`."""
    return functools.partial(_check_bits, cache_dir)


def _check_bits(
    cache_dir: Path, network: nn.Module, *calls: tuple[Any, ...], **kwargs: Any
) -> ModelStats:
    """Run calls with everything resident, then at the smallest budget, twice each.

    Args:
        network: in eval mode; it is taken over.
        calls: positional inputs; the first is the example.
        kwargs: keyword inputs of every call.
    """
    with torch.inference_mode():
        expected = [network(*inputs, **kwargs) for inputs in calls]
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        model = runtime.load("network", network, calls[0], example_kwargs=kwargs)
        _compare(model, calls, kwargs, expected)
        runtime.set_budget(_smallest_budget(runtime))
        for _ in range(2):
            _compare(model, calls, kwargs, expected)
        report = runtime.report()
        assert report.leased_bytes <= report.peak_bytes <= report.budget_bytes
        return model.stats()


def _compare(
    model: SwappedModel, calls: Sequence[tuple[Any, ...]], kwargs: dict[str, Any], expected: Any
) -> None:
    for inputs, wanted in zip(calls, expected, strict=True):
        output = model(*inputs, **kwargs)
        leaves, structure = tree_flatten(output)
        wanted_leaves, wanted_structure = tree_flatten(wanted)
        assert structure == wanted_structure
        for leaf, wanted_leaf in zip(leaves, wanted_leaves, strict=True):
            if isinstance(wanted_leaf, torch.Tensor):
                assert leaf.dtype == wanted_leaf.dtype
                assert torch.equal(leaf, wanted_leaf)
            else:
                assert leaf == wanted_leaf


@pytest.fixture
def smallest_budget() -> Callable[[SwapRuntime], int]:
    """Ask a runtime for the smallest budget that its networks accept."""
    return _smallest_budget


def _smallest_budget(runtime: SwapRuntime) -> int:
    with pytest.raises(BudgetTooSmallError) as refused:
        runtime.set_budget(1)
    return refused.value.needed_bytes


@pytest.fixture(scope="session")
def measured_gpu(measured_storage: Path) -> None:
    """Measure the first GPU once, if there is one: every `cache_dir` after this has it."""
    if torch.cuda.is_available():
        for kind in ("cuda", "unified"):
            found = choose_hardware(kind)
            profiles.load_or_measure(measured_storage, found)
            found.backend.close()


class Gpu:
    """A device, and runtimes on it.

    Attributes:
        calls: of a simulated device; None of a real one.
    """

    smallest = staticmethod(_smallest_budget)

    def __init__(self, name: str, cache_dir: Path, patch: pytest.MonkeyPatch) -> None:
        self._name = name
        self._cache_dir = cache_dir
        self.kind = name.removeprefix(_SIMULATED).partition(":")[0]
        self.calls = SimulatedCuda(5) if name.startswith(_SIMULATED) else None
        if self.calls is not None:
            found = simulated_hardware(self.calls, self.kind)
            patch.setattr(runtime_module, "choose_hardware", lambda *_: found)
            patch.setattr(profiles, "load_or_measure", lambda *_: SIMULATED_DEVICE)
        self.device = self.calls.device if self.calls is not None else torch.device("cuda", 0)

    def open(self, budget: str | int = _PLENTY, host_budget: str | int = 0) -> SwapRuntime:
        return SwapRuntime(
            budget, device=self._name, cache_dir=self._cache_dir, host_budget=host_budget
        )

    def expect(self, network: nn.Module, *inputs: torch.Tensor) -> Any:
        """What the plain network gives on the device, on the CPU."""
        plain = copy.deepcopy(network).to(self.device)
        with torch.inference_mode():
            output = plain(*(tensor.to(self.device) for tensor in inputs))
            return tree_map_only(torch.Tensor, torch.Tensor.cpu, output)


@pytest.fixture(
    params=[
        f"{_SIMULATED}cuda",
        pytest.param(f"{_SIMULATED}unified", marks=pytest.mark.slow),
        pytest.param("cuda:0", marks=pytest.mark.gpu),
        pytest.param("unified:0", marks=pytest.mark.gpu),
    ]
)
def gpu(
    request: pytest.FixtureRequest,
    measured_gpu: None,
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Gpu]:
    """A simulated device, and a real one if there is one; all memory is given back in the end."""
    gpu = Gpu(request.param, cache_dir, monkeypatch)
    yield gpu
    if gpu.calls is not None:
        assert gpu.calls.held.device_bytes == 0
        assert gpu.calls.held.pinned_bytes == 0


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Wait for a condition; fail where it does not come to be."""
    return _wait_until


def _wait_until(is_so: Callable[[], bool]) -> None:
    end_s = time.monotonic() + _PATIENCE_S
    while not is_so():
        assert time.monotonic() < end_s, "it did not come to be"
        time.sleep(0.01)


@pytest.fixture
def pool() -> Iterator[FetchPool]:
    """Reading threads of the test's own."""
    pool = FetchPool()
    yield pool
    pool.close()


@pytest.fixture
def open_bench(pool: FetchPool) -> Callable[..., Bench]:
    """Open a `Bench` whose reads are `pool`'s."""
    return functools.partial(Bench, pool)


class Bench:
    """A network on a simulated device, run step by step as the runner does it.

    Its store's bytes tell where they lie in the file, and its region refuses a fetch that writes
    where compute reads.
    """

    def __init__(
        self,
        pool: FetchPool,
        profile: NetworkProfile,
        budget_bytes: int,
        delay_s: Callable[[], float] | None = None,
        stream: Stream | None = None,
        streaming: SimulatedRegion | None = None,
    ) -> None:
        self.pool = pool
        self.content = stored_pattern(profile)
        self.plan: SwapPlan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=budget_bytes)
        self.store = MemoryStore(self.content, delay_s)
        self.stream = stream or pool.open_stream(self.plan.stream_bytes)
        self.streaming = streaming or SimulatedBackend().allocate(self.plan.stream_bytes)
        self.resident = SimulatedBackend().allocate(self.plan.region_bytes - self.plan.stream_bytes)
        self.region = JoinedRegion(self.plan, self.streaming, self.resident)
        self._cell_block = {c: i for i, block in enumerate(self.plan.blocks) for c in block.weights}
        self._steps = profile.trace.steps
        self.lane: Lane = self.stream.open_lane(self.plan, self.region, self.store.read_into)

    def run(self, stop_after: int | None = None) -> None:
        """One inference; `stop_after` breaks it off after so many steps."""
        run_steps(self.lane, self._steps, self._check, stop_after)

    def _check(self, step: int) -> None:
        block = self.plan.blocks[self._cell_block[self._steps[step]]]
        border = self.plan.stream_bytes
        part = self.resident if block.is_resident else self.streaming
        begin = block.slot_offset_bytes - border * block.is_resident
        with part.computing(begin, block.size_bytes) as data:
            begin = block.file_offset_bytes
            assert data == self.content[begin : begin + block.size_bytes]

    def close(self) -> None:
        self.stream.close_lane(self.lane)
        self.pool.close_stream(self.stream)
