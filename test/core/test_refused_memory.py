"""The system refuses memory that the budget allows: a clear error, and later all is well."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core import OutOfMemoryError, SwapNetError, SwapRuntime
from swapnet_core.sizes import GIB, KIB, MIB

_WIDTH = 1024
_LAYERS = 8
_IMAGE = torch.randn(2, _WIDTH, generator=torch.Generator().manual_seed(1))
_STATUS = Path("/proc/self/status")


def _network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(*(nn.Linear(_WIDTH, _WIDTH) for _ in range(_LAYERS))).eval()


def _expected(seed: int) -> torch.Tensor:
    with torch.inference_mode():
        return _network(seed)(_IMAGE)


@contextlib.contextmanager
def _no_more_memory() -> Iterator[None]:
    """Let the process map next to nothing beyond what it has."""
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith("VmSize"))
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (int(line.split()[1]) * KIB + 2 * MIB, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def test_every_network_says_so_and_runs_when_there_is_memory_again(
    cache_dir: Path, smallest_budget: Callable[[SwapRuntime], int]
) -> None:
    with SwapRuntime(GIB, cache_dir=cache_dir) as runtime:
        models = [runtime.load(f"n{seed}", _network(seed), (_IMAGE,)) for seed in range(2)]
        runtime.set_budget(smallest_budget(runtime))
        with _no_more_memory():
            with pytest.raises(OutOfMemoryError, match="refuses"):
                runtime.set_budget(GIB)
            for model in models:
                with pytest.raises(OutOfMemoryError, match="refuses") as said:
                    model(_IMAGE)
                assert said.value.needed_bytes >= _WIDTH * _WIDTH * 4
                with pytest.raises(SwapNetError, match="no plan at present"):
                    _ = model.plan
        report = runtime.report()
        assert report.budget_bytes == GIB
        assert report.leased_bytes < _WIDTH * _WIDTH * 4  # none of the slots
        for seed, model in enumerate(models):
            assert torch.equal(model(_IMAGE), _expected(seed))
            assert model.stats().streamed_bytes == 0


def test_a_load_without_memory_leaves_the_network_and_the_others(cache_dir: Path) -> None:
    network = _network(1)
    with SwapRuntime(GIB, cache_dir=cache_dir) as runtime:
        model = runtime.load("n0", _network(0), (_IMAGE,))
        runtime.load("n1", _network(1), (_IMAGE,)).close()  # from now on the cache has it
        with _no_more_memory(), pytest.raises(OutOfMemoryError):
            runtime.load("n1", network, (_IMAGE,))
        assert list(runtime.report().models) == ["n0"]
        assert torch.equal(model(_IMAGE), _expected(0))
        with torch.inference_mode():
            assert torch.equal(network(_IMAGE), _expected(1))
