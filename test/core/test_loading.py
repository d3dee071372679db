"""Where networks come from, and what the cache directory may do to them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations

import swapnet_core
from swapnet_core import (
    BlockCorruptError,
    NetworkError,
    StorageError,
    SwapRuntime,
    WeightsMismatchError,
)

_WIDTH = 160
_PLENTY = "1GiB"
_LAYER_BYTES = _WIDTH * _WIDTH * 4


class _Network(nn.Module):
    """Linear layers, a normalisation with statistics, and a tied pair."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(*(nn.Linear(_WIDTH, _WIDTH) for _ in range(6)))
        self.norm = nn.BatchNorm1d(_WIDTH)
        self.first = nn.Linear(_WIDTH, _WIDTH, bias=False)
        self.second = nn.Linear(_WIDTH, _WIDTH, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.tanh(self.first(self.norm(self.body(x)))))


def _network() -> nn.Module:
    torch.manual_seed(0)
    network = _Network().eval()
    network.norm.running_mean.uniform_(-0.5, 0.5)
    network.norm.running_var.uniform_(0.5, 2.0)
    return network


def _input() -> torch.Tensor:
    return torch.randn(2, _WIDTH, generator=torch.Generator().manual_seed(3))


def _expected(network: nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return network(_input())


def _state() -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in _network().state_dict().items()}


def _run_small(runtime: SwapRuntime, *, weights: object = None, build: object = _Network) -> object:
    model = runtime.load("network", build, (_input(),), weights=weights)
    runtime.set_budget(model.plan.fixed_bytes + 4 * _LAYER_BYTES)
    outputs = [model(_input()) for _ in range(2)]
    assert torch.equal(*outputs)
    assert model.stats().faults == 0
    return outputs[0]


class _CountingWeights(Mapping[str, torch.Tensor]):
    """Makes every tensor when it is asked for, and knows how many are alive."""

    def __init__(self) -> None:
        self._state = _state()
        self.most_alive = 0
        self._alive: list[object] = []

    def __getitem__(self, name: str) -> torch.Tensor:
        tensor = self._state[name].clone()
        self._alive.append(weakref.ref(tensor))
        self._alive = [reference for reference in self._alive if reference() is not None]
        self.most_alive = max(self.most_alive, len(self._alive))
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._state)

    def __len__(self) -> int:
        return len(self._state)


def _as_safetensors(folder: Path) -> Path:
    state = {name: value.contiguous() for name, value in _state().items()}
    save_file({k: v.clone() for k, v in state.items()}, folder / "w.safetensors")
    return folder / "w.safetensors"


def _as_pth(folder: Path) -> Path:
    torch.save(_state(), folder / "w.pth")
    return folder / "w.pth"


def _as_checkpoint(folder: Path) -> Path:
    state = {f"module.{name}": value for name, value in _state().items()}
    torch.save({"epoch": 3, "state_dict": state}, folder / "w.pt")
    return folder / "w.pt"


def _as_old_pth(folder: Path) -> Path:
    torch.save(_state(), folder / "old.pth", _use_new_zipfile_serialization=False)
    return folder / "old.pth"


_KINDS: dict[str, Callable[[Path], object]] = {
    "safetensors": _as_safetensors,
    "text_path": lambda folder: str(_as_safetensors(folder)),
    "pth": _as_pth,
    "checkpoint": _as_checkpoint,
    "old_pth": _as_old_pth,
    "mapping": lambda _folder: _state(),
}


@pytest.mark.parametrize("kind", _KINDS)
def test_a_builder_with_weights_gives_the_networks_bits(
    kind: str, cache_dir: Path, tmp_path: Path
) -> None:
    weights = _KINDS[kind](tmp_path)
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        assert torch.equal(_run_small(runtime, weights=weights), _expected(_network()))


def test_a_builder_without_weights_keeps_its_own(cache_dir: Path) -> None:
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        assert torch.equal(_run_small(runtime, build=_network), _expected(_network()))


def test_weights_are_asked_for_one_at_a_time(cache_dir: Path) -> None:
    weights = _CountingWeights()
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        assert torch.equal(_run_small(runtime, weights=weights), _expected(_network()))
    assert weights.most_alive <= 2


def test_weights_of_another_precision_are_turned_into_the_networks(cache_dir: Path) -> None:
    halves = {name: v.half() if v.is_floating_point() else v for name, v in _state().items()}
    network = _network()
    network.load_state_dict(halves)
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        assert torch.equal(_run_small(runtime, weights=halves), _expected(network))


@pytest.mark.parametrize("left_out", ["first.weight", "second.weight"])
def test_a_tied_weight_under_one_of_its_names_is_enough(left_out: str, cache_dir: Path) -> None:
    state = _state()
    del state[left_out]
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        assert torch.equal(_run_small(runtime, weights=state), _expected(_network()))


def test_counters_of_normalisation_may_be_absent(cache_dir: Path) -> None:
    state = _state()
    del state["norm.num_batches_tracked"]
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        assert torch.equal(_run_small(runtime, weights=state), _expected(_network()))


def _missing(state: dict[str, torch.Tensor]) -> None:
    del state["body.3.weight"]


def _missing_buffer(state: dict[str, torch.Tensor]) -> None:
    del state["norm.running_var"]


def _unknown(state: dict[str, torch.Tensor]) -> None:
    state["stranger.weight"] = torch.zeros(3)


def _reshaped(state: dict[str, torch.Tensor]) -> None:
    state["body.2.weight"] = torch.zeros(3, 5)


def _reshaped_buffer(state: dict[str, torch.Tensor]) -> None:
    state["norm.running_mean"] = torch.zeros(3)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_missing, r"missing: body\.3\.weight"),
        (_missing_buffer, r"missing: norm\.running_var"),
        (_unknown, r"not in the network: stranger\.weight"),
        (_reshaped, r"'body\.2\.weight' is \(3, 5\) in the weights, \(160, 160\)"),
        (_reshaped_buffer, r"'norm\.running_mean' is \(3,\) in the weights, \(160,\)"),
    ],
)
def test_weights_that_do_not_match_are_named(
    spoil: Callable[[dict[str, torch.Tensor]], None], message: str, cache_dir: Path
) -> None:
    state = _state()
    spoil(state)
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        with pytest.raises(WeightsMismatchError, match=message):
            runtime.load("network", _Network, (_input(),), weights=state)
        assert runtime.report().leased_bytes == 0


def test_files_that_are_no_weights_are_refused_by_name(cache_dir: Path, tmp_path: Path) -> None:
    truncated = _as_safetensors(tmp_path)
    os.truncate(truncated, truncated.stat().st_size // 2)
    broken = _as_pth(tmp_path)
    os.truncate(broken, broken.stat().st_size // 2)
    (tmp_path / "w.onnx").write_bytes(b"x")
    torch.save([1, 2], tmp_path / "list.pth")
    names = [truncated, broken, tmp_path / "w.onnx", tmp_path / "list.pth", tmp_path / "none.pth"]
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        for path in names:
            with pytest.raises(WeightsMismatchError, match=path.name):
                runtime.load("network", _Network, (_input(),), weights=path)


def test_a_builder_that_fails_or_builds_something_else(cache_dir: Path) -> None:
    def fails() -> nn.Module:
        raise KeyError("no such option")

    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        for weights in (None, _state()):
            with pytest.raises(NetworkError, match="no such option"):
                runtime.load("network", fails, (_input(),), weights=weights)
            with pytest.raises(NetworkError, match="int"):
                runtime.load("network", lambda: 3, (_input(),), weights=weights)
        with pytest.raises(NetworkError, match="module has its own"):
            runtime.load("network", _network(), (_input(),), weights=_state())


def test_a_builder_whose_buffers_come_from_its_weights(cache_dir: Path) -> None:
    def build() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(
            parametrizations.spectral_norm(nn.Linear(_WIDTH, _WIDTH)),
            parametrizations.weight_norm(nn.Linear(_WIDTH, _WIDTH)),
        ).eval()

    plain = build()
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        model = runtime.load("network", build, (_input(),), weights=plain.state_dict())
        assert torch.equal(model(_input()), _expected(plain))


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
