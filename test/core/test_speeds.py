"""How fast machine and storage are of late."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from swapnet_core import SwapRuntime
from swapnet_core.device_profile import load_or_measure
from swapnet_core.model import _Counters
from swapnet_core.recording import Inference
from swapnet_core.sizes import MIB
from swapnet_core.speeds import ReadSpeed, round_factor


@given(factor=st.floats(1e-3, 1e3))
def test_factors_are_rounded_by_less_than_a_step(factor: float) -> None:
    assert factor / 1.03 <= round_factor(factor) <= factor * 1.03
    assert round_factor(round_factor(factor)) == round_factor(factor)


def test_small_changes_are_no_news() -> None:
    assert round_factor(0.98) == round_factor(1.02) == 1.0


def test_nothing_is_said_after_too_few_reads() -> None:
    speed = ReadSpeed()
    for _ in range(3):
        speed.add(size_bytes=32 * MIB, blocks=4, duration_s=0.1)
    speed.add(size_bytes=MIB, blocks=1, duration_s=10.0)  # too short to tell anything
    assert speed.bandwidth_bytes_per_s(1e-4) is None


@given(
    bandwidth=st.floats(1e7, 1e10),
    latency_s=st.floats(0.0, 1e-3),
    blocks=st.lists(st.integers(1, 8), min_size=16, max_size=64),
)
def test_bandwidth_is_what_explains_the_reads(
    bandwidth: float, latency_s: float, blocks: list[int]
) -> None:
    speed = ReadSpeed()
    for count in blocks:
        duration_s = count * (latency_s + 16 * MIB / bandwidth)
        speed.add(size_bytes=count * 16 * MIB, blocks=count, duration_s=duration_s)
    found = speed.bandwidth_bytes_per_s(latency_s)
    assert found is not None
    if latency_s <= 16 * MIB / bandwidth:
        assert found == pytest.approx(bandwidth, rel=1e-6)
    else:  # hardly possible: at most half of the time is taken for fixed costs
        assert found <= bandwidth


def test_reads_of_long_ago_are_forgotten() -> None:
    speed = ReadSpeed()
    for _ in range(100):
        speed.add(size_bytes=32 * MIB, blocks=1, duration_s=32.0)
    for _ in range(17):
        speed.add(size_bytes=32 * MIB, blocks=1, duration_s=0.032)
    assert speed.bandwidth_bytes_per_s(0.0) == pytest.approx(1000 * MIB)


def test_plans_follow_the_bandwidth_that_reads_have(tmp_path: Path) -> None:
    load_or_measure(tmp_path)
    path = tmp_path / "device.json"
    noted = json.loads(path.read_text())
    noted["profile"]["read_bandwidth_bytes_per_s"] = 1e15  # no storage is that fast
    path.write_text(json.dumps(noted))
    network = nn.Sequential(*[nn.Linear(1024, 1024, bias=False) for _ in range(8)]).eval()
    image = torch.zeros(1, 1024)
    with SwapRuntime(budget="1GiB", cache_dir=tmp_path) as runtime:
        model = runtime.load("network", network, (image,))
        budget_bytes = model.stats().demand_bytes // 2
        runtime.set_budget(budget_bytes)
        believed_s = model.stats().predicted_latency_s
        while model.stats().bytes_read < 200 * MIB:
            model(image)
        runtime.set_budget(budget_bytes)
        assert runtime.device_profile.read_bandwidth_bytes_per_s < 1e12
        assert model.stats().predicted_latency_s > believed_s


def test_what_reads_cost_compute_is_not_taken_for_slowness(tmp_path: Path) -> None:
    """A plan says by how much its reads and tiles slow compute down: that much is expected."""
    network = nn.Sequential(*[nn.Linear(512, 512, bias=False) for _ in range(8)]).eval()
    with SwapRuntime(budget="1GiB", cache_dir=tmp_path) as runtime:
        plan = runtime.load("network", network, (torch.zeros(1, 512),)).plan
    assert plan.compute_slowdown == 1.0  # everything is resident
    slowed = replace(plan, predicted_latency_s=3.5, predicted_stall_s=0.5, compute_s=2.0)
    counters = _Counters()
    for _ in range(8):
        inference = Inference(
            begin_s=0.0, latency_s=6.0, stall_s=3.0, faults=0, entries=(), reads=()
        )
        counters.add(inference, slowed.compute_slowdown)
    assert counters.compute_s() == pytest.approx(2.0)


def test_first_reads_into_new_memory_tell_nothing(tmp_path: Path) -> None:
    network = nn.Sequential(*(nn.Linear(1200, 1200) for _ in range(26))).eval()  # 143 MiB
    inputs = (torch.zeros(1, 1200),)
    with SwapRuntime(budget="1GiB", cache_dir=tmp_path) as runtime:
        measured = runtime.device_profile.read_bandwidth_bytes_per_s
        model = runtime.load("network", network, inputs)
        assert model.stats().bytes_read > 128 * MIB  # its residents
        assert runtime._pool.bandwidth_of_late(0.0) is None
        assert runtime.device_profile.read_bandwidth_bytes_per_s == measured
        runtime.set_budget(model.profile.demand_bytes // 4)
        for _ in range(200):  # times without a break in reading may be too short to tell
            model(*inputs)
            if runtime._pool.bandwidth_of_late(0.0) is not None:
                break
        assert runtime._pool.bandwidth_of_late(0.0) is not None
