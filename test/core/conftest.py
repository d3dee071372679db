"""Fixtures of the core's tests."""

from __future__ import annotations

import functools
import gc
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_flatten

from swapnet_core import (
    BudgetTooSmallError,
    ModelStats,
    SwappedModel,
    SwapRuntime,
    device_profile,
)
from swapnet_core.testing import open_leases

_PLENTY = "1GiB"


@pytest.fixture(scope="session")
def measured_storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache directory in which the device is measured already."""
    root = tmp_path_factory.mktemp("measured")
    device_profile.load_or_measure(root)
    return root


@pytest.fixture
def cache_dir(measured_storage: Path, tmp_path: Path) -> Iterator[Path]:
    """A cache directory of the test's own."""
    root = tmp_path / "cache"
    shutil.copytree(measured_storage, root)
    yield root
    shutil.rmtree(root, ignore_errors=True)


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
        runtime.set_budget(smallest_budget(runtime))
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


def smallest_budget(runtime: SwapRuntime) -> int:
    """Ask a runtime for the smallest budget that its networks accept."""
    with pytest.raises(BudgetTooSmallError) as refused:
        runtime.set_budget(1)
    return refused.value.needed_bytes
