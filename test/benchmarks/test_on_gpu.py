"""What `benchmarks/gpu.sh` runs, on the CPU: a GPU's time is not to be lost to a mistake in it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from swapnet_core import device_profile, runtime
from swapnet_core.simulated_cuda import SimulatedCuda, simulated_hardware
from swapnet_core.testing import SIMULATED_DEVICE

_BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def _build() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(256, 256) for _ in range(8))).eval()


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import the script; its runtimes are on a simulated device, and storage is not measured."""
    hardware = simulated_hardware(SimulatedCuda(3), "cuda")
    monkeypatch.setattr(runtime, "choose_hardware", lambda *_: hardware)
    monkeypatch.setattr(device_profile, "load_or_measure", lambda *_: SIMULATED_DEVICE)
    monkeypatch.syspath_prepend(str(_BENCHMARKS))
    script = importlib.import_module("on_gpu")
    arms = sys.modules["gpu_parts.arms"]
    for name, value in (("_PAIRS", 2), ("_BATCH", 1), ("_WARM", 2), ("_SETTLE_S", 0.0)):
        monkeypatch.setattr(arms, name, value)
    yield script
    for name in [name for name in sys.modules if name.partition(".")[0] in ("gpu_parts", "on_gpu")]:
        del sys.modules[name]


def test_rows_tell_outputs_memory_latency_and_graphs(
    parts: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = importlib.import_module("gpu_parts.networks").NamedNetwork(
        name="eight layers", build=_build, inputs=(torch.rand(2, 256),)
    )
    rows = parts.measure(network, (1.2, 1000.0), "cpu", tmp_path)
    arms = ("from storage", "graphs, from storage")
    assert [(row["arm"], row["ratio"]) for row in rows] == [
        (arm, ratio) for arm in arms for ratio in (1.2, 1000.0)
    ]
    for measured, refused in (rows[:2], rows[2:]):
        assert measured["largest_difference"] == 0.0
        assert measured["bound_s"] >= measured["plain_s"] > 0.0
        assert measured["timeline"]
        assert refused["needed_bytes"] > 0
    assert rows[0]["cuda_graphs"] is None
    assert rows[2]["cuda_graphs"]["is_used"]
    assert rows[2]["uses"] == rows[0]["uses"] > 0
    without = {**rows[2], "cuda_graphs": {"is_used": False, "reason": "no room"}}
    parts._say(without)
    assert all(parts._say(row) for row in json.loads(json.dumps(rows)))
    assert not parts._say({**rows[0], "peak_bytes": 2**50})
    assert not parts._say({**rows[0], "is_exact": True, "largest_difference": 1e-7})
    assert not parts._say({"network": "n", "arm": "check", "error": "it broke"})
    assert parts._say(parts._run("--check", "resnet18", None, 1.0)[0])
    printed = capsys.readouterr().out
    assert "exact, no graphs: no room" in printed
    assert "there was no time left" in printed


def test_rivals_that_are_not_there_are_named(
    parts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    rows = parts.compare(parts.find_network("resnet18"), "cpu", tmp_path)
    assert len(rows) == 4
    assert all("pip install" in row["not_run"] for row in rows)
    assert all(parts._say(row) for row in rows)


@pytest.mark.slow
def test_a_rival_is_compared_at_its_own_peak(parts: Any, tmp_path: Path) -> None:
    rivals = importlib.import_module("gpu_parts.rivals")
    network = importlib.import_module("gpu_parts.networks").NamedNetwork(
        name="eight layers", build=_build, inputs=(torch.rand(2, 256),)
    )
    for offload, told in ((lambda *_: None, "theirs"), (_refuse, "failed")):
        rival = rivals._Rival(name="none", package="torch", offload=offload, host_budget=0)
        row = rivals._compare(rival, network, "cpu", tmp_path)
        assert told in row
        assert parts._say({"network": "n", "arm": "none", **row})


def _refuse(*_: Any) -> None:
    raise ValueError("not so")


@pytest.mark.slow
def test_the_short_run_is_right(tmp_path: Path) -> None:
    command = [sys.executable, str(_BENCHMARKS / "on_gpu.py"), "--short", "--device", "cpu"]
    done = subprocess.run([*command, "--cache-dir", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["largest_difference"] == 0.0
    assert found["faults"] > 0
    assert found["are_exact"] == [True, True]
    assert all(found["streamed_bytes"])


@pytest.mark.slow
def test_the_short_run_replays_what_it_streams(parts: Any, tmp_path: Path) -> None:
    found = parts.run_short("cpu", tmp_path)
    assert found["largest_difference"] == 0.0
    assert found["are_exact"] == [True, True]
    assert all(found["streamed_bytes"])
    assert found["graphs"]["is_used"]
    assert found["graphs"]["graphs"] > 2
