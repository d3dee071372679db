"""What may happen to the cache directory: damage, no room, no right to write, other processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import swapnet_core
from swapnet_core import BlockCorruptError, StorageError, SwapRuntime

_WIDTH = 160
_PLENTY = "1GiB"
_LAYER_BYTES = _WIDTH * _WIDTH * 4


def _network() -> nn.Module:
    """Linear layers, two of them with one weight, and a normalisation with statistics."""
    torch.manual_seed(0)
    layers = [nn.Linear(_WIDTH, _WIDTH) for _ in range(8)]
    layers[-1].weight = layers[-2].weight
    norm = nn.BatchNorm1d(_WIDTH)
    norm.running_mean.uniform_(-0.5, 0.5)
    norm.running_var.uniform_(0.5, 2.0)
    return nn.Sequential(*layers, norm).eval()


def _input() -> torch.Tensor:
    return torch.randn(2, _WIDTH, generator=torch.Generator().manual_seed(3))


def _expected(network: nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return network(_input())


def _data_file(cache_dir: Path) -> Path:
    (path,) = (cache_dir / "networks").glob("*/*.safetensors")
    return path


def _flip_a_byte(path: Path) -> None:
    stat = path.stat()
    with path.open("r+b") as stream:
        stream.seek(stat.st_size // 2)
        byte = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte[0] ^ 1]))


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4096)


def _remove_manifest(path: Path) -> None:
    (path.parent / "manifest.json").unlink()


def _spoil_manifest(path: Path) -> None:
    (path.parent / "manifest.json").write_text("{}")


@pytest.mark.parametrize("damage", [_flip_a_byte, _truncate, _remove_manifest, _spoil_manifest])
def test_a_damaged_block_file_is_rebuilt_with_a_warning(
    damage: Callable[[Path], None], cache_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = _expected(_network())
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        runtime.load("network", _network(), (_input(),))
    damage(_data_file(cache_dir))
    caplog.clear()
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        model = runtime.load("network", _network(), (_input(),))
        assert torch.equal(model(_input()), expected)
    assert "rebuilt" in caplog.text
    assert str(cache_dir) in caplog.text
    caplog.clear()
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        assert torch.equal(runtime.load("n", _network(), (_input(),))(_input()), expected)
    assert caplog.text == ""


def test_a_spoilt_trace_is_made_anew(cache_dir: Path) -> None:
    expected = _expected(_network())
    for text in ("", "{}", "[1]", '{"trace": {}, "digest": "x"}'):
        for path in (cache_dir / "traces").glob("*.json"):
            path.write_text(text)
        with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
            model = runtime.load("network", _network(), (_input(),))
            assert torch.equal(model(_input()), expected)


def test_bytes_lost_while_running_are_an_error_and_the_runtime_lives(cache_dir: Path) -> None:
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        model = runtime.load("network", _network(), (_input(),))
        runtime.set_budget(model.plan.fixed_bytes + 4 * _LAYER_BYTES)
        model(_input())
        path = _data_file(cache_dir)
        content = path.read_bytes()
        os.truncate(path, 8192)
        with pytest.raises(BlockCorruptError, match="truncated"):
            _call_often(model)
        path.write_bytes(content)
        assert torch.equal(model(_input()), _expected(_network()))
        other = runtime.load("other", nn.Linear(4, 4).eval(), (torch.zeros(1, 4),))
        assert other(torch.zeros(1, 4)).shape == (1, 4)


def _call_often(model: Callable[..., object]) -> None:
    for _ in range(3):
        model(_input())


def test_a_cache_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in its place")
    for root in (tmp_path / "file", tmp_path / "file" / "cache", Path("/proc/cache")):
        network = _network()
        expected = _expected(network)
        with (
            SwapRuntime(_PLENTY, cache_dir=root) as runtime,
            pytest.raises(StorageError, match=f"{root}.*cache_dir"),
        ):
            runtime.load("network", network, (_input(),))
        assert torch.equal(_expected(network), expected)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a tmpfs with the given options; skips where that is not allowed."""
    mounts: list[Path] = []

    def mount(options: str) -> Path:
        path = tmp_path / f"mount{len(mounts)}"
        path.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "swapnet-test", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"no tmpfs can be mounted: {done.stderr.strip()}")
        mounts.append(path)
        return path

    yield mount
    for path in mounts:
        subprocess.run(["umount", str(path)], check=True)


def _give_device_profile(root: Path, measured: Path) -> None:
    """Let a small cache pass as measured: it has no room for a probe."""
    noted = json.loads((measured / "device.json").read_text())
    noted["machine"]["storage"] = os.stat(root).st_dev
    (root / "device.json").write_text(json.dumps(noted))


def test_a_full_cache_directory_is_named_with_what_is_needed(
    mounted: Callable[[str], Path], measured_storage: Path
) -> None:
    root = mounted("size=600k")
    _give_device_profile(root, measured_storage)
    network = _network()
    expected = _expected(network)
    with SwapRuntime(_PLENTY, cache_dir=root) as runtime:
        with pytest.raises(StorageError, match=r"no room in .*mount0.*[KM]iB"):
            runtime.load("network", network, (_input(),))
        assert torch.equal(_expected(network), expected)
        assert list((root / "networks").iterdir()) == []
        small = runtime.load("small", nn.Linear(8, 8).eval(), (torch.zeros(1, 8),))
        assert small(torch.zeros(1, 8)).shape == (1, 8)


def test_a_cache_directory_without_room_for_the_probe_is_named(
    mounted: Callable[[str], Path],
) -> None:
    root = mounted("size=8m")
    with (
        SwapRuntime(_PLENTY, cache_dir=root) as runtime,
        pytest.raises(StorageError, match="mount0"),
    ):
        runtime.load("network", _network(), (_input(),))
    assert not list(root.glob(".probe*"))


def test_a_read_only_cache_directory_is_named(
    mounted: Callable[[str], Path], measured_storage: Path
) -> None:
    root = mounted("size=8m")
    _give_device_profile(root, measured_storage)
    subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
    network = _network()
    with (
        SwapRuntime(_PLENTY, cache_dir=root) as runtime,
        pytest.raises(StorageError, match=r"cannot write .*mount0.*Read-only"),
    ):
        runtime.load("network", network, (_input(),))


def test_a_read_only_cache_that_has_the_network_serves_it(
    mounted: Callable[[str], Path], measured_storage: Path
) -> None:
    root = mounted("size=16m")
    _give_device_profile(root, measured_storage)
    with SwapRuntime(_PLENTY, cache_dir=root) as runtime:
        runtime.load("network", _network(), (_input(),))
    subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
    with SwapRuntime(_PLENTY, cache_dir=root) as runtime:
        assert torch.equal(
            runtime.load("network", _network(), (_input(),))(_input()), _expected(_network())
        )


_CHILD = """
import sys
import torch
from torch import nn
from swapnet_core import SwapRuntime

torch.manual_seed(0)
network = nn.Sequential(*(nn.Linear(160, 160) for _ in range(40))).eval()
x = torch.ones(1, 160)
with torch.inference_mode():
    expected = network(x)
with SwapRuntime("1GiB", cache_dir=sys.argv[1]) as runtime:
    sys.exit(not torch.equal(runtime.load("network", network, (x,))(x), expected))
"""


def test_two_processes_that_store_one_network_at_once_both_run(cache_dir: Path) -> None:
    root = str(Path(swapnet_core.__file__).parents[1])
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(cache_dir)], env={**os.environ, "PYTHONPATH": root}
        )
        for _ in range(2)
    ]
    assert [child.wait(120) for child in children] == [0, 0]
    names = [path.name for path in (cache_dir / "networks").iterdir()]
    assert len(names) == 1
