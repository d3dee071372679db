"""What every kind of device memory promises."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator

import pytest
import torch

from swapnet_core.arena import Arena
from swapnet_core.backends.base import Backend, Region
from swapnet_core.backends.cpu import CpuBackend
from swapnet_core.backends.cuda import CudaBackend
from swapnet_core.backends.cuda_calls import TorchCuda
from swapnet_core.backends.unified import UnifiedBackend
from swapnet_core.errors import BudgetTooSmallError, InvariantError
from swapnet_core.file_layout import TENSOR_ALIGNMENT_BYTES
from swapnet_core.ledger import MemoryLedger
from swapnet_core.simulated_cuda import SimulatedCuda
from swapnet_core.specs import WeightSpec
from swapnet_core.testing import SimulatedBackend

_PAGE = 4096
_GPU = torch.device("cuda", 0)
_MAKERS = [
    pytest.param(CpuBackend, id="cpu"),
    pytest.param(SimulatedBackend, id="simulated"),
    pytest.param(lambda: CudaBackend(SimulatedCuda(1)), id="simulated-cuda"),
    pytest.param(lambda: UnifiedBackend(SimulatedCuda(2)), id="simulated-unified"),
    pytest.param(lambda: CudaBackend(TorchCuda(_GPU)), id="cuda", marks=pytest.mark.gpu),
    pytest.param(lambda: UnifiedBackend(TorchCuda(_GPU)), id="unified", marks=pytest.mark.gpu),
]


def _weight(dtype: str, shape: tuple[int, ...], stride: tuple[int, ...], size: int) -> WeightSpec:
    return WeightSpec(
        name="w",
        aliases=(),
        dtype=dtype,
        shape=shape,
        stride=stride,
        size_bytes=size,
        requires_grad=False,
    )


@pytest.fixture(params=_MAKERS)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    made: Backend = request.param()
    yield made
    made.close()


class TestBackend:
    def test_a_region_is_whole_pages_and_aligned_as_weights_are(self, backend: Backend) -> None:
        for size_bytes in (0, 1, _PAGE, _PAGE + 1, 40 * 2**20):
            region = backend.allocate(size_bytes)
            assert region.size_bytes % _PAGE == 0
            assert region.size_bytes >= max(size_bytes, _PAGE)
            view = region.weight_view(0, _weight("U8", (16,), (1,), 16))
            assert view.data_ptr() % TENSOR_ALIGNMENT_BYTES == 0
            region.free()

    def test_what_is_read_in_is_what_compute_sees(self, backend: Backend) -> None:
        region = backend.allocate(4 * _PAGE)
        values = torch.arange(6, dtype=torch.float32)
        page = bytearray(_PAGE)
        page[64:88] = values.numpy().tobytes()
        _read_in(backend, region, _PAGE, bytes(page))
        weight = region.weight_view(_PAGE + 64, _weight("F32", (2, 3), (3, 1), 24))
        assert torch.equal(weight.cpu(), values.view(2, 3))
        by_columns = region.weight_view(_PAGE + 64, _weight("F32", (3, 2), (1, 3), 24))
        assert torch.equal(by_columns.cpu(), values.view(2, 3).t())
        region.free()

    def test_a_slot_keeps_its_address_and_its_neighbours_their_bytes(
        self, backend: Backend
    ) -> None:
        region = backend.allocate(3 * _PAGE)
        _read_in(backend, region, 0, b"n" * 3 * _PAGE)
        weight = region.weight_view(_PAGE, _weight("U8", (_PAGE,), (1,), _PAGE))
        address = weight.data_ptr()
        for value in (1, 2):
            _read_in(backend, region, _PAGE, bytes([value]) * _PAGE)
            assert weight.data_ptr() == address
            assert bool((weight == value).all())
        around = [region.weight_view(at, _weight("U8", (_PAGE,), (1,), _PAGE)) for at in (0, 8192)]
        assert all(bool((part == ord("n")).all()) for part in around)
        region.free()

    def test_it_knows_its_own_tensors_and_views_of_them(self, backend: Backend) -> None:
        region, other = backend.allocate(_PAGE), backend.allocate(_PAGE)
        weight = region.weight_view(0, _weight("F32", (4, 4), (4, 1), 64))
        assert region.holds(weight)
        assert region.holds(weight[1:, 2].t())
        assert not other.holds(weight)
        assert not region.holds(weight.clone())
        region.free()
        other.free()

    def test_a_read_that_is_given_up_changes_nothing(self, backend: Backend) -> None:
        region = backend.allocate(_PAGE)
        _read_in(backend, region, 0, b"x" * _PAGE)
        region.open_landing(0, _PAGE, backend.queue.released).cancel()
        weight = region.weight_view(0, _weight("U8", (_PAGE,), (1,), _PAGE))
        assert bool((weight == ord("x")).all())
        region.free()

    def test_copies_have_what_slots_have_no_use_for(self, backend: Backend) -> None:
        region = backend.allocate(4 * _PAGE)
        _read_in(backend, region, 0, b"x" * 4 * _PAGE)
        kept = region.weight_view(_PAGE, _weight("U8", (_PAGE,), (1,), _PAGE))
        backend.queue.join()
        memory = region.give_up([(0, _PAGE), (2 * _PAGE, 4 * _PAGE)], 0)
        first, second = (memory.make(_PAGE - 8, _fill_with(value)) for value in (1, 2))
        assert bool((first.data == 1).all())
        assert bool((second.data == 2).all())
        assert bool((kept == ord("x")).all())
        assert min(first.held_bytes, second.held_bytes) >= _PAGE - 8
        del first, second
        memory.check_over()
        region.free()

    def test_a_private_copy_lives_until_nothing_refers_to_it(self, backend: Backend) -> None:
        made = backend.copies.make(100, _fill_with(7))
        dead: list[bool] = []
        weakref.finalize(made.owner, dead.append, True)
        view = made.data[10:20].view(2, 5).t()
        del made
        assert not dead
        assert bool((view == 7).all())
        del view
        gc.collect()
        assert dead


def _read_in(backend: Backend, region: Region, offset_bytes: int, content: bytes) -> None:
    """Bring bytes into a region, as a fetch does it and compute waits for it."""
    backend.queue.release()
    landing = region.open_landing(offset_bytes, len(content), backend.queue.released)
    landing.target[:] = content
    arrival = landing.deliver()
    backend.queue.admit([] if arrival is None else [arrival])


def _fill_with(value: int) -> Callable[[memoryview], int]:
    def fill(target: memoryview) -> int:
        target[:] = bytes([value]) * len(target)
        return 8

    return fill


@pytest.mark.parametrize("make", [CpuBackend, SimulatedBackend], ids=["cpu", "simulated"])
def test_on_the_host_given_up_and_freed_bytes_read_as_zeros(make: Callable[[], Backend]) -> None:
    region = make().allocate(2 * _PAGE)
    weight = region.weight_view(0, _weight("U8", (2 * _PAGE,), (1,), 2 * _PAGE))
    weight.fill_(ord("x"))
    region.give_up([(0, _PAGE), (_PAGE, _PAGE)], 0)
    assert not bool(weight[:_PAGE].any())
    assert bool((weight[_PAGE:] == ord("x")).all())
    region.free()
    assert not bool(weight.any())


def test_an_arena_leases_before_it_allocates() -> None:
    ledger = MemoryLedger(3 * _PAGE)
    arena = Arena(CpuBackend(), ledger)
    region = arena.allocate("one", _PAGE + 1)
    assert ledger.snapshot().leased_bytes == 2 * _PAGE
    with pytest.raises(BudgetTooSmallError, match="two"):
        arena.allocate("two", 2 * _PAGE)
    assert ledger.snapshot().leases == 1
    arena.release(region)
    assert ledger.snapshot().leased_bytes == 0
    with pytest.raises(InvariantError, match="not held"):
        arena.release(region)


def test_a_region_that_cannot_be_had_gives_its_lease_back() -> None:
    class Full(CpuBackend):
        def allocate(self, size_bytes: int) -> object:
            raise MemoryError("full")

    ledger = MemoryLedger(_PAGE)
    with pytest.raises(MemoryError):
        Arena(Full(), ledger).allocate("one", _PAGE)
    assert ledger.snapshot().leases == 0


def test_the_simulated_region_catches_a_fetch_below_a_running_layer() -> None:
    region = SimulatedBackend().allocate(2 * _PAGE)
    with (
        region.computing(0, _PAGE),
        pytest.raises(InvariantError, match="while compute reads"),
    ):
        region.host_view(0, 2 * _PAGE)
    view = region.host_view(0, _PAGE)
    with pytest.raises(InvariantError, match="while a fetch writes"), region.computing(64, 64):
        pass
    with region.computing(_PAGE, _PAGE):
        pass
    view.release()
    with region.computing(64, 64) as data:
        assert data == bytes(64)
