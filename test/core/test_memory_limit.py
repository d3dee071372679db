"""A network survives where its plain self is killed, and memory is what the report says.

Both run in children inside one memory cgroup, whose limit is what the child held before the
network came, and the budget.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file

import swapnet_core

_CHILD = Path(__file__).with_name("memory_limit_child.py")
_BUDGET_BYTES = 80 * 2**20
_RATIO = 2.32
_INFERENCES = 4
_TIMEOUT_S = 300


def _oom_kills(group: Path) -> int:
    """Processes that the kernel killed because the group was full."""
    is_v1 = (group / "memory.oom_control").exists()
    events = group / ("memory.oom_control" if is_v1 else "memory.events")
    counts = dict(line.split() for line in events.read_text().splitlines())
    return int(counts["oom_kill"])


def _remove_limit(group: Path) -> None:
    for name in ("memory.memsw.limit_in_bytes", "memory.limit_in_bytes"):
        if (group / name).exists():
            (group / name).write_text("-1")
    if (group / "memory.max").exists():
        (group / "memory.max").write_text("max")


@pytest.fixture(scope="module")
def resnet101(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[float]]]:
    """A weights file, and what the plain network makes of the child's images."""
    torch.manual_seed(0)
    network = torchvision.models.resnet101(weights=None).eval()
    path = tmp_path_factory.mktemp("weights") / "resnet101.safetensors"
    save_file(network.state_dict(), path)
    outputs = []
    for seed in range(_INFERENCES):
        image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(seed))
        with torch.inference_mode():
            outputs.append(network(image).flatten().tolist())
    return path, outputs


def test_it_survives_in_a_group_where_the_plain_network_is_killed(
    memory_group: Path, resnet101: tuple[Path, list[list[float]]], cache_dir: Path
) -> None:
    weights, expected = resnet101
    swapped = _run_child("swapped", memory_group, weights, cache_dir)
    assert swapped.returncode == 0, f"{swapped.stderr}\n{_oom_kills(memory_group)} OOM kills"
    assert _oom_kills(memory_group) == 0
    facts = json.loads(swapped.stdout)
    assert facts["outputs"] == expected
    assert facts["faults"] == 0
    assert facts["demand_bytes"] / facts["budget_bytes"] >= _RATIO
    _check_memory(facts)

    _remove_limit(memory_group)
    plain = _run_child("plain", memory_group, weights, cache_dir)
    assert plain.returncode == -signal.SIGKILL, f"the plain network fits: {plain.stdout}"
    assert _oom_kills(memory_group) == 1


def _check_memory(facts: dict[str, Any]) -> None:
    peak_bytes, rss_bytes = facts["peak_bytes"], facts["run_peak_rss_bytes"]
    print(f"report: {peak_bytes} bytes at the peak; measured: {rss_bytes} ({facts})")
    assert peak_bytes <= facts["budget_bytes"] == _BUDGET_BYTES
    assert 0.9 * peak_bytes <= rss_bytes <= _BUDGET_BYTES  # malloc may keep less than is counted


def _run_child(
    mode: str, group: Path, weights: Path, cache_dir: Path
) -> subprocess.CompletedProcess[str]:
    package_root = str(Path(swapnet_core.__file__).parents[1])
    return subprocess.run(
        [
            sys.executable,
            str(_CHILD),
            mode,
            str(group),
            str(weights),
            str(cache_dir),
            str(_BUDGET_BYTES),
        ],
        env={**os.environ, "PYTHONPATH": package_root},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
