"""Layers that run a slice of their weight at a time give what the plain layers give."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn
from torch.nn import functional

from swapnet_core.assembly import Assembly
from swapnet_core.tiled_weight import TiledWeight
from swapnet_core.tiles import Rows, tile_unit_rows

_TOLERANCES = {torch.float32: 1e-6, torch.float64: 1e-14, torch.bfloat16: 2e-2}
"""Relative to the largest output."""


class _Slices:
    """Gives a network its weights, and every `weight` by tiles of so many rows."""

    def __init__(self, network: nn.Module, tile_rows: int) -> None:
        assembly = Assembly(network)
        self.tensors = assembly.tensors
        self.weights = assembly.weights
        self.tile_rows = tile_rows
        self.tiles_read = 0
        self.wholes_read = 0
        assembly.attach(self)

    def access(self, weight: int) -> torch.Tensor:
        spec = self.weights[weight]
        if not spec.name.endswith("weight"):
            return self.tensors[weight]
        starts = range(0, spec.shape[0], self.tile_rows)
        return TiledWeight.standing_for(weight, spec, starts, torch.device("cpu"), self)

    def read_tiles(self, weight: int) -> Iterator[tuple[Rows, torch.Tensor]]:
        rows = self.tensors[weight].shape[0]
        for begin in range(0, rows, self.tile_rows):
            end = min(begin + self.tile_rows, rows)
            self.tiles_read += 1
            slot = self.tensors[weight].detach()[begin:end].clone()
            yield (begin, end), nn.Parameter(slot)
            slot.fill_(math.nan)  # the next tile's bytes come into the same place

    def read_whole(self, weight: int) -> torch.Tensor:
        self.wholes_read += 1
        return nn.Parameter(self.tensors[weight].detach().clone())


def _check(
    module: nn.Module, x: torch.Tensor, tile_rows: int, dtype: torch.dtype = torch.float32
) -> None:
    """Compare a module with its tiled self."""
    module, x = module.to(dtype).eval(), x.to(dtype)
    with torch.inference_mode():
        expected = module(x)
        source = _Slices(module, tile_rows)
        output = module(x)
    assert source.wholes_read == 0
    assert source.tiles_read == -(-module.weight.shape[0] // tile_rows)
    assert output.dtype == dtype
    assert output.shape == expected.shape
    assert output.stride() == expected.stride()
    error = (output.double() - expected.double()).abs().max() if expected.numel() else 0.0
    assert error <= _TOLERANCES[dtype] * expected.double().abs().max()


def _rows(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("dtype", _TOLERANCES)
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (2, 2, 2), (0,)], ids=str)
def test_linear(shape: tuple[int, ...], has_bias: bool, dtype: torch.dtype) -> None:
    if shape == (0,):
        with torch.inference_mode():
            module = nn.Linear(96, 80, bias=has_bias).eval()
            _Slices(module, 16)
            assert module(_rows(0, 96)).shape == (0, 80)
        return
    _check(nn.Linear(96, 80, bias=has_bias), _rows(*shape, 96), 32, dtype)


_CONVOLUTIONS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "plain": (lambda: nn.Conv2d(12, 40, 3), 16),
    "without bias": (lambda: nn.Conv2d(12, 40, 3, bias=False), 16),
    "stride": (lambda: nn.Conv2d(12, 40, (3, 5), stride=(2, 1), padding=(1, 2)), 16),
    "dilation": (lambda: nn.Conv2d(12, 40, 3, dilation=2, padding=2), 16),
    "same": (lambda: nn.Conv2d(12, 40, (3, 5), padding="same"), 16),
    "valid": (lambda: nn.Conv2d(12, 40, 3, padding="valid"), 16),
    "reflect": (lambda: nn.Conv2d(12, 40, 3, padding=1, padding_mode="reflect"), 16),
    "circular": (lambda: nn.Conv2d(12, 40, 3, padding=1, padding_mode="circular"), 16),
    "replicate": (lambda: nn.Conv2d(12, 40, 3, padding="same", padding_mode="replicate"), 16),
    "groups": (lambda: nn.Conv2d(12, 40, 3, groups=4), 20),
    "same in groups": (lambda: nn.Conv2d(12, 40, 3, groups=4, padding="same"), 20),
    "one group at a time": (lambda: nn.Conv2d(12, 40, 3, groups=4, padding=1), 10),
    "depthwise": (lambda: nn.Conv2d(12, 24, 3, groups=12), 10),
    "pointwise": (lambda: nn.Conv2d(12, 40, 1), 7),
    "transposed": (lambda: nn.ConvTranspose2d(12, 40, 3), 5),
    "transposed, strided": (
        lambda: nn.ConvTranspose2d(12, 40, 4, stride=2, padding=1, output_padding=1),
        4,
    ),
    "transposed, dilated": (lambda: nn.ConvTranspose2d(12, 40, 3, dilation=2, bias=False), 4),
    "transposed in groups": (lambda: nn.ConvTranspose2d(12, 40, 3, stride=2, groups=4), 6),
    "transposed, one group": (lambda: nn.ConvTranspose2d(12, 40, 3, groups=4, bias=False), 3),
    "transposed depthwise": (lambda: nn.ConvTranspose2d(12, 24, 3, groups=12), 5),
}


@pytest.mark.parametrize("dtype", _TOLERANCES)
@pytest.mark.parametrize("kind", _CONVOLUTIONS)
def test_convolutions(kind: str, dtype: torch.dtype) -> None:
    build, tile_rows = _CONVOLUTIONS[kind]
    _check(build(), _rows(2, 12, 9, 11), tile_rows, dtype)


@pytest.mark.parametrize("kind", _CONVOLUTIONS)
@pytest.mark.parametrize("batch", [(), (1,), (3,)], ids=str)
def test_convolutions_of_other_batches(kind: str, batch: tuple[int, ...]) -> None:
    build, tile_rows = _CONVOLUTIONS[kind]
    _check(build(), _rows(*batch, 12, 9, 11), tile_rows)


@pytest.mark.parametrize("what", ["input", "both"])
@pytest.mark.parametrize("kind", _CONVOLUTIONS)
def test_channels_last(kind: str, what: str) -> None:
    build, tile_rows = _CONVOLUTIONS[kind]
    module = build().to(memory_format=torch.channels_last) if what == "both" else build()
    _check(module, _rows(2, 12, 9, 11).to(memory_format=torch.channels_last), tile_rows)


@pytest.mark.parametrize("build", [nn.Conv1d, nn.ConvTranspose1d, nn.Conv3d, nn.ConvTranspose3d])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("batch", [(), (2,)], ids=str)
def test_one_and_three_dimensions(
    build: type[nn.Module], groups: int, batch: tuple[int, ...]
) -> None:
    space = (11,) if build in (nn.Conv1d, nn.ConvTranspose1d) else (5, 6, 7)
    module = build(16, 24, 3, stride=2, padding=1, groups=groups)
    tile_rows = {1: 7, 2: module.weight.shape[0] // 2, 4: module.weight.shape[0] // 2}[groups]
    _check(module, _rows(*batch, 16, *space), tile_rows)


def test_the_1d_and_3d_ones_with_padding_by_name() -> None:
    _check(nn.Conv1d(8, 24, 3, padding="same", padding_mode="reflect"), _rows(2, 8, 11), 8)
    _check(nn.Conv1d(8, 24, 3, padding="valid"), _rows(2, 8, 11), 8)
    _check(nn.Conv3d(8, 24, 3, padding="same"), _rows(2, 8, 5, 5, 5), 8)


@pytest.mark.parametrize(
    ("module", "unit"),
    [
        (nn.Linear(1024, 1024), 32),  # 4 KiB per row, 128 KiB per tile at least
        (nn.Linear(25088, 128), 16),
        (nn.Linear(1024, 48), 32),
        (nn.Linear(1024, 32), 0),  # one tile would be all
        (nn.Linear(16, 16), 0),
        (nn.Conv2d(256, 256, 3), 16),
        (nn.Conv2d(256, 256, 3, groups=2), 128),
        (nn.Conv2d(512, 512, 3, groups=32), 240),
        (nn.Conv2d(512, 512, 3, groups=512), 0),
        (nn.ConvTranspose2d(256, 128, 3), 32),
        (nn.ConvTranspose2d(256, 128, 4, groups=4), 64),
        (nn.Conv2d(256, 256, 3).to(memory_format=torch.channels_last), 16),
        (nn.Embedding(1024, 1024), 0),
        (nn.modules.linear.NonDynamicallyQuantizableLinear(1024, 1024), 0),
    ],
)
def test_units(module: nn.Module, unit: int) -> None:
    (weight, *_) = Assembly(module.eval()).weights
    assert weight.name == "weight"
    assert tile_unit_rows(module, weight) == unit


def test_rows_that_are_not_contiguous_are_not_tiled() -> None:
    module = nn.Linear(1024, 1024).eval()
    module.weight = nn.Parameter(torch.randn(1024, 1024).t())
    assert tile_unit_rows(module, Assembly(module).weights[0]) == 0


@pytest.mark.parametrize(
    "use",
    [
        lambda w, x: x @ w.t(),
        lambda w, x: functional.linear(w, w),
        lambda w, x: functional.linear(x[:, :5], w[:, :5]),
        lambda w, x: functional.linear(x, w, x[0, :1]),
        lambda w, x: functional.linear(x, w, w[:, 0]),
        lambda w, x: functional.conv1d(x[..., None], w[..., None]),
        lambda w, x: torch.einsum("bi,oi->bo", x, w),
        lambda w, x: torch.cat([w, w.detach(), w.data]),
        lambda w, x: w.norm() + w[3, 4].item() + w.detach().numpy().sum(),
        lambda w, x: torch.tensor(w.tolist()),
        lambda w, x: copy.deepcopy(w) * 1,
        lambda w, x: pickle.loads(pickle.dumps(w)) * 1,
        lambda w, x: torch.stack(list(w)),
        lambda w, x: w.to(torch.float64) + w.float() + w.clone(),
    ],
)
def test_other_uses_get_a_private_copy(use: Callable[..., torch.Tensor]) -> None:
    module, x = nn.Linear(96, 80).eval(), _rows(3, 96)
    with torch.inference_mode():
        expected = use(module.weight, x)
        source = _Slices(module, 16)
        assert torch.equal(use(module.weight, x), expected)
    assert source.wholes_read > 0


def test_outside_of_inference_mode_it_is_right_too() -> None:
    module, x = nn.Linear(96, 80).eval(), _rows(3, 96)
    expected = module(x).detach()
    _Slices(module, 16)
    with torch.no_grad():
        assert torch.equal(module(x), expected)


@pytest.mark.parametrize("shape", [(2, 95), (2, 97), (2, 16)])
def test_inputs_that_do_not_fit_are_refused_as_by_the_layer(shape: tuple[int, ...]) -> None:
    for module, x in [
        (nn.Linear(96, 80), _rows(*shape)),
        (nn.Conv2d(96, 80, 1), _rows(*shape, 3, 3)),
        (nn.ConvTranspose2d(96, 80, 1), _rows(*shape, 3, 3)),
        (nn.Conv2d(96, 96, 1, groups=6), _rows(*shape, 3, 3)),
        (nn.ConvTranspose2d(96, 96, 1, groups=6), _rows(*shape, 3, 3)),
    ]:
        _Slices(module.eval(), 16)
        with torch.inference_mode(), pytest.raises(RuntimeError):
            module(x)


def test_tiles_of_16_rows_keep_the_bits() -> None:
    for module, x in [
        (nn.Linear(1000, 160), _rows(1000)),
        (nn.Linear(1000, 160), _rows(1, 1000)),
        (nn.Linear(1000, 160), _rows(24, 1000)),
        (nn.Linear(1000, 160), _rows(2, 12, 1000)),
        (nn.Conv2d(64, 160, 3, padding=1), _rows(1, 64, 14, 14)),
        (nn.Conv2d(64, 160, 1), _rows(2, 64, 7, 7)),
    ]:
        with torch.inference_mode():
            expected = module.eval()(x)
            _Slices(module, 48)
            assert torch.equal(module(x), expected)
