"""The parts of `swapnet_core.testing` that act on a runtime."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core import BudgetTooSmallError, SwapRuntime
from swapnet_core.planner import make_plan, smallest_budget_bytes
from swapnet_core.testing import impose_plan


def _network() -> nn.Module:
    return nn.Sequential(*(nn.Linear(256, 256) for _ in range(8))).eval()


def test_a_network_runs_by_an_imposed_plan_until_the_budget_changes(cache_dir: Path) -> None:
    network, other = _network(), _network()
    image = torch.rand(1, 256)
    with torch.inference_mode():
        expected = network(image)
    with SwapRuntime(budget="1GiB", cache_dir=cache_dir) as runtime:
        model = runtime.load("one", network, (image,))
        beside = runtime.load("other", other, (image,))
        own, others_own = model.plan, beside.plan
        profile = model.profile
        least_bytes = smallest_budget_bytes(profile)
        plan = make_plan(profile, runtime.device_profile, budget_bytes=least_bytes)

        impose_plan(runtime, "one", plan)

        assert model.plan == plan
        assert beside.plan == others_own
        torch.testing.assert_close(model(image), expected)
        assert model.stats().bytes_read > 0
        runtime.set_budget("1GiB")
        assert model.plan == own
        assert torch.equal(model(image), expected)


def test_a_plan_that_does_not_fit(
    cache_dir: Path, smallest_budget: Callable[[SwapRuntime], int]
) -> None:
    image = torch.rand(1, 256)
    with SwapRuntime(budget="1GiB", cache_dir=cache_dir) as runtime:
        model = runtime.load("one", _network(), (image,))
        everything = model.plan
        runtime.set_budget(smallest_budget(runtime))

        with pytest.raises(BudgetTooSmallError):
            impose_plan(runtime, "one", everything)

        runtime.set_budget("1GiB")
        assert model(image).shape == (1, 256)
