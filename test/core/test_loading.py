"""Where networks come from: modules, builders, and weights of every kind."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations

from swapnet_core import NetworkError, SwapRuntime, WeightsMismatchError

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
