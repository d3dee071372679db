"""Kinds of networks: each gives the plain network's bits, resident and at the smallest budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torchvision import models

from swapnet_core import ModelStats

CheckBits = Callable[..., ModelStats]

_WIDTH = 160  # a layer of this width is larger than a cell of the block file


def _seeded(build: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    network = build().eval()
    for buffer in network.buffers():
        if buffer.is_floating_point() and buffer.numel() > 1:
            buffer.add_(torch.rand_like(buffer) * 0.1)
    return network


def _rows(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _chain(layers: int = 6) -> nn.Sequential:
    parts = [nn.Sequential(nn.Linear(_WIDTH, _WIDTH), nn.ReLU()) for _ in range(layers)]
    return nn.Sequential(*parts)


def _calls(*shape: int) -> list[tuple[torch.Tensor]]:
    shape = shape or (2, _WIDTH)
    return [(_rows(seed, *shape),) for seed in (1, 2)]


class _Loops(nn.Module):
    """Every layer is called several times, in changing order."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(_WIDTH, _WIDTH) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for index in (0, 1, 0, 2, 3, 3, 1, 0, 2):
            x = torch.tanh(self.layers[index](x))
        return x


class _Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(_WIDTH * 4, _WIDTH)
        self.body = _chain(3)
        self.head = nn.Linear(_WIDTH, _WIDTH * 4, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.embed(tokens)))


class _OwnAndChildren(nn.Module):
    """Parameters and buffers of its own, beside children; some read before, some after them."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(_WIDTH))
        self.body = _chain(4)
        self.mix = nn.Parameter(torch.randn(_WIDTH, _WIDTH))
        self.register_buffer("offset", torch.randn(_WIDTH))
        self.register_buffer("absent", None)
        self.register_parameter("nothing", None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.body(x * self.scale + self.offset)
        return x @ self.mix + self.scale


class _Held(nn.Module):
    """Takes several weights first and uses them later."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(_WIDTH, _WIDTH) for _ in range(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = [part.weight for part in self.parts]
        biases = [part.bias for part in self.parts]
        for weight, bias in zip(reversed(weights), biases, strict=True):
            x = torch.relu(nn.functional.linear(x, weight, bias))
        return x


class _KeepsItsOwnList(nn.Module):
    """Reads weights through a list made when it was built."""

    def __init__(self) -> None:
        super().__init__()
        self.body = _chain(4)
        self.kept = [part[0].weight for part in self.body]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) + sum(x @ weight for weight in self.kept)


class _Lists(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.randn(_WIDTH, _WIDTH) * 0.1 for _ in range(4))
        self.named = nn.ParameterDict({"gain": torch.rand(_WIDTH)})
        self.branches = nn.ModuleDict({"left": _chain(2), "right": _chain(2)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for weight in self.weights:
            x = torch.tanh(x @ weight)
        return self.branches["left"](x) - self.branches["right"](x) * self.named["gain"]


class _Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = _chain(3)
        self.never = _chain(3)
        self.orphan = nn.Parameter(torch.randn(_WIDTH, _WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


class Pair(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


class _Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = _chain(4)

    def forward(self, batch: dict[str, Any], pair: Pair, *, gain: float = 1.0) -> dict[str, Any]:
        left = self.body(batch["left"]) * gain
        right = [self.body(part) for part in batch["parts"]]
        pair = Pair(left + pair.first, right[0] - pair.second)
        return {"pair": pair, "list": right, "tuple": (left, 3, "text", None), "n": len(right)}


class _GivesWeights(nn.Module):
    """Its outputs are weights, a view of one, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = _chain(4)
        self.tail = nn.Parameter(torch.randn(8, _WIDTH))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = self.body(x)
        return y, self.tail, self.tail[2:4].t(), self.body[0][0].weight


class _OnlyEmpty(nn.Module):
    """Has nothing to read."""

    def __init__(self) -> None:
        super().__init__()
        self.empty = nn.Parameter(torch.empty(0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.empty.sum()


class _Norms(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.norms = nn.Sequential(
            nn.BatchNorm2d(32), nn.GroupNorm(4, 32), nn.InstanceNorm2d(32, track_running_stats=True)
        )
        self.tail = nn.ConvTranspose2d(32, 64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.tail(self.norms(self.stem(x)))


def _parametrized() -> nn.Module:
    return nn.Sequential(
        parametrizations.weight_norm(nn.Linear(_WIDTH, _WIDTH)),
        parametrizations.spectral_norm(nn.Linear(_WIDTH, _WIDTH)),
        parametrizations.orthogonal(nn.Linear(_WIDTH, _WIDTH)),
    )


def _old_weight_norm() -> nn.Module:
    with pytest.warns(FutureWarning):
        return nn.Sequential(nn.utils.weight_norm(nn.Linear(_WIDTH, _WIDTH)), _chain(2))


def _encoder(batch_first: bool = True, norm_first: bool = False) -> nn.Module:
    layer = nn.TransformerEncoderLayer(
        64, 4, 128, batch_first=batch_first, norm_first=norm_first, dropout=0.1
    )
    return nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)


def _channels_last() -> nn.Module:
    network = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU())
    return network.to(memory_format=torch.channels_last)


_PLAIN: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "chain": (_chain, ()),
    "loops": (_Loops, ()),
    "own_and_children": (_OwnAndChildren, ()),
    "held": (_Held, ()),
    "keeps_its_own_list": (_KeepsItsOwnList, ()),
    "lists": (_Lists, ()),
    "unused": (_Unused, ()),
    "gives_weights": (_GivesWeights, ()),
    "norms": (_Norms, (1, 3, 24, 24)),
    "parametrized": (_parametrized, ()),
    "old_weight_norm": (_old_weight_norm, ()),
    "encoder": (_encoder, (2, 10, 64)),
    "encoder_norm_first": (lambda: _encoder(norm_first=True), (2, 10, 64)),
    "encoder_batch_second": (lambda: _encoder(batch_first=False), (10, 2, 64)),
    "lstm": (lambda: nn.LSTM(48, 64, 2, bidirectional=True), (7, 2, 48)),
    "lstm_projected": (lambda: nn.LSTM(48, 64, 2, proj_size=32), (7, 2, 48)),
    "gru": (lambda: nn.GRU(48, 64, 2, batch_first=True), (2, 7, 48)),
    "rnn_without_bias": (lambda: nn.RNN(48, 64, bias=False), (7, 2, 48)),
    "lstm_cell": (lambda: nn.LSTMCell(48, 64), (2, 48)),
    "channels_last": (_channels_last, (1, 3, 24, 24)),
    "without_weights": (lambda: nn.Sequential(nn.ReLU(), nn.Flatten()), ()),
    "one_weight": (lambda: nn.PReLU(), ()),
    "empty_weight": (lambda: nn.Sequential(nn.Linear(_WIDTH, 0), nn.Linear(0, 4)), ()),
    "only_empty_weights": (_OnlyEmpty, ()),
}


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("kind", _PLAIN)
def test_kinds_of_networks(kind: str, check_bits: CheckBits) -> None:
    build, shape = _PLAIN[kind]
    stats = check_bits(_seeded(build), *_calls(*shape))
    assert stats.faults == 0
    assert stats.inferences == 6


_TORCHVISION = {
    "squeezenet1_1": (1, 3, 96, 96),
    "shufflenet_v2_x0_5": (1, 3, 96, 96),
    "mobilenet_v3_small": (1, 3, 96, 96),
    "resnet18": (1, 3, 96, 96),
    "mnasnet0_5": (1, 3, 96, 96),
}


@pytest.mark.parametrize("name", _TORCHVISION)
def test_small_networks_of_torchvision(name: str, check_bits: CheckBits) -> None:
    network = _seeded(lambda: models.get_model(name, weights=None))
    stats = check_bits(network, *_calls(*_TORCHVISION[name]))
    assert stats.faults == 0
    assert stats.streamed_bytes > 0


def test_tied_weights_are_stored_once(check_bits: CheckBits) -> None:
    network = _seeded(_Tied)
    tokens = [(torch.randint(0, _WIDTH * 4, (2, 9)),) for _ in range(2)]
    unique = sum(weight.numel() * 4 for weight in network.parameters())
    stats = check_bits(network, *tokens)
    assert stats.faults == 0
    assert stats.weight_bytes < unique * 1.1


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_element_types(dtype: torch.dtype, check_bits: CheckBits) -> None:
    network = _seeded(_chain).to(dtype)
    calls = [(inputs[0].to(dtype),) for inputs in _calls()]
    assert check_bits(network, *calls).faults == 0


def test_multihead_attention_with_its_fast_path(check_bits: CheckBits) -> None:
    network = _seeded(lambda: nn.MultiheadAttention(64, 4, batch_first=True))
    x = _rows(1, 2, 10, 64)
    assert check_bits(network, (x, x, x), need_weights=False).faults == 0


def test_attention_over_other_widths(check_bits: CheckBits) -> None:
    network = _seeded(lambda: nn.MultiheadAttention(64, 4, kdim=32, vdim=48, add_bias_kv=True))
    inputs = (_rows(1, 10, 2, 64), _rows(2, 12, 2, 32), _rows(3, 12, 2, 48))
    assert check_bits(network, inputs).faults == 0


def test_a_whole_transformer(check_bits: CheckBits) -> None:
    network = _seeded(lambda: nn.Transformer(64, 4, 2, 2, 128, batch_first=True))
    assert check_bits(network, (_rows(1, 2, 9, 64), _rows(2, 2, 7, 64))).faults == 0


def test_nested_inputs_and_outputs(check_bits: CheckBits) -> None:
    batch = {"left": _rows(1, 2, _WIDTH), "parts": [_rows(2, 2, _WIDTH), _rows(3, 2, _WIDTH)]}
    pair = Pair(_rows(4, 2, _WIDTH), _rows(5, 2, _WIDTH))
    stats = check_bits(_seeded(_Nested), (batch, pair), gain=0.5)
    assert stats.faults == 0


def test_inputs_that_are_not_contiguous(check_bits: CheckBits) -> None:
    calls = [(_rows(seed, _WIDTH, 2).t(),) for seed in (1, 2)]
    assert check_bits(_seeded(_chain), *calls).faults == 0
