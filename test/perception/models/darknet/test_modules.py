"""Each kind of layer against a computation that shares no code with it: loops over pixels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from swapnet_ros.perception.models.darknet.network import DarknetNetwork


def _image(channels: int = 2, height: int = 6, width: int = 5) -> np.ndarray:
    return np.random.default_rng(7).normal(size=(channels, height, width)).astype(np.float32)


def _randomised(network: DarknetNetwork) -> DarknetNetwork:
    generator = torch.Generator().manual_seed(3)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
        if name.endswith("running_var"):
            tensor.abs_()
    return network


def _run(network: DarknetNetwork, image: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(image)[None])[0][0].numpy()


def _at(image: np.ndarray, channel: int, y: int, x: int, outside: float) -> float:
    _, height, width = image.shape
    inside = 0 <= y < height and 0 <= x < width
    return float(image[channel, y, x]) if inside else outside


_FORMULAS = {
    "linear": lambda x: x,
    "leaky": lambda x: x if x > 0 else 0.1 * x,
    "relu": lambda x: max(x, 0.0),
    "relu6": lambda x: min(max(x, 0.0), 6.0),
    "mish": lambda x: x * math.tanh(math.log1p(math.exp(x))),
    "swish": lambda x: x / (1 + math.exp(-x)),
    "logistic": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": lambda x: 2 / (1 + math.exp(-2 * x)) - 1,
}


def _convolve(image, weight, *, stride, padding, groups):
    filters, per_group, kernel, _ = weight.shape
    height = (image.shape[1] + 2 * padding - kernel) // stride + 1
    width = (image.shape[2] + 2 * padding - kernel) // stride + 1
    output = np.zeros((filters, height, width))
    for f, y, x in itertools.product(range(filters), range(height), range(width)):
        first = f // (filters // groups) * per_group
        output[f, y, x] = sum(
            weight[f, c, i, j]
            * _at(image, first + c, y * stride + i - padding, x * stride + j - padding, 0.0)
            for c, i, j in itertools.product(range(per_group), range(kernel), range(kernel))
        )
    return output


@pytest.mark.parametrize("activation", list(_FORMULAS))
def test_convolution_with_bias_and_activation(define, activation):
    text = f"[convolutional]\nfilters=3\nsize=3\nstride=2\npad=1\nactivation={activation}\n"
    network = _randomised(DarknetNetwork(define(text)))
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}

    sums = _convolve(_image(), state["layers.0.conv.weight"], stride=2, padding=1, groups=1)
    sums += state["layers.0.conv.bias"][:, None, None]

    expected = np.vectorize(_FORMULAS[activation])(sums)
    np.testing.assert_allclose(_run(network, _image()), expected, rtol=1e-4, atol=1e-5)


def test_grouped_convolution_with_normalisation(define):
    text = (
        "[convolutional]\nfilters=4\ngroups=2\nsize=2\npadding=1\nbatch_normalize=1\n"
        "activation=leaky\n"
    )
    network = _randomised(DarknetNetwork(define(text)))
    norm = {
        suffix: network.state_dict()[f"layers.0.norm.{suffix}"].numpy()[:, None, None]
        for suffix in ("bias", "weight", "running_mean", "running_var")
    }

    weight = network.state_dict()["layers.0.conv.weight"].numpy()
    sums = _convolve(_image(), weight, stride=1, padding=1, groups=2)
    normed = (sums - norm["running_mean"]) / np.sqrt(norm["running_var"] + 0.00001)
    expected = np.vectorize(_FORMULAS["leaky"])(normed * norm["weight"] + norm["bias"])

    np.testing.assert_allclose(_run(network, _image()), expected, rtol=1e-4, atol=1e-5)


def test_the_epsilon_of_normalisation_is_darknets(define):
    network = DarknetNetwork(define("[convolutional]\nbatch_normalize=1\nactivation=linear\n"))
    state = network.state_dict()
    state["layers.0.conv.weight"].fill_(1.0)
    state["layers.0.norm.running_var"].zero_()

    output = _run(network, np.full((2, 6, 5), 0.5, np.float32))

    np.testing.assert_allclose(output, 1.0 / math.sqrt(0.00001), rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "stride", "padding"),
    [
        (2, 2, None),
        (2, 1, None),
        (3, 2, None),
        (5, 1, None),
        (9, 1, None),
        (3, 1, 0),
        (2, 2, 0),
        (4, 3, 2),
        (3, 2, 5),
    ],
)
def test_maxpool(define, size, stride, padding):
    keys = "" if padding is None else f"padding={padding}\n"
    network = DarknetNetwork(define(f"[maxpool]\nsize={size}\nstride={stride}\n{keys}"))
    image = _image()
    total = size - 1 if padding is None else padding
    height, width = ((side + total - size) // stride + 1 for side in image.shape[1:])

    expected = np.zeros((2, height, width))
    for c, y, x in itertools.product(range(2), range(height), range(width)):
        expected[c, y, x] = max(
            _at(image, c, y * stride + i - total // 2, x * stride + j - total // 2, -math.inf)
            for i, j in itertools.product(range(size), range(size))
        )

    np.testing.assert_array_equal(_run(network, image), expected)


def test_maxpool_takes_its_size_from_the_stride(define):
    network = DarknetNetwork(define("[maxpool]\nstride=2\n"))

    assert _run(network, _image()).shape == (2, 3, 3)


def test_avgpool(define):
    output = _run(DarknetNetwork(define("[avgpool]\n")), _image())

    np.testing.assert_allclose(output[:, 0, 0], _image().mean(axis=(1, 2)), rtol=1e-5)


def test_upsample(define):
    output = _run(DarknetNetwork(define("[upsample]\nstride=3\n")), _image())

    for c, y, x in itertools.product(range(2), range(18), range(15)):
        assert output[c, y, x] == _image()[c, y // 3, x // 3]


_TWO = "[maxpool]\nsize=1\n[convolutional]\nfilters={filters}\nactivation=linear\n"


@pytest.mark.parametrize("filters", [1, 2, 3])
@pytest.mark.parametrize("activation", ["linear", "leaky"])
def test_shortcut_adds_the_channels_that_both_have(define, filters, activation):
    text = _TWO.format(filters=filters) + f"[shortcut]\nfrom=-2\nactivation={activation}\n"
    network = _randomised(DarknetNetwork(define(text)))
    weight = network.state_dict()["layers.1.conv.weight"].numpy()
    bias = network.state_dict()["layers.1.conv.bias"].numpy()[:, None, None]

    expected = _convolve(_image(), weight, stride=1, padding=0, groups=1) + bias
    shared = min(filters, 2)
    expected[:shared] += _image()[:shared]
    expected = np.vectorize(_FORMULAS[activation])(expected)

    np.testing.assert_allclose(_run(network, _image()), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("narrow_first", [True, False])
def test_shortcut_from_two_layers_leaves_them_unchanged(define, narrow_first):
    sources = "1,0" if narrow_first else "0,1"
    text = (
        "[maxpool]\nsize=1\n[convolutional]\nfilters=1\nactivation=linear\n[route]\nlayers=0\n"
        f"[shortcut]\nfrom={sources}\n[route]\nlayers=0,1,3\n"
    )
    network = _randomised(DarknetNetwork(define(text)))

    output = _run(network, _image())

    first, narrow, total = output[:2], output[2:3], output[3:]
    np.testing.assert_array_equal(first, _image())
    np.testing.assert_allclose(total, 2 * first + np.concatenate([narrow, 0 * narrow]), rtol=1e-5)


def test_route_joins_in_the_order_named(define):
    text = "[maxpool]\nsize=1\n[maxpool]\nsize=2\nstride=1\n[route]\nlayers=-1,0\n"
    network = DarknetNetwork(define(text))

    output = _run(network, _image())

    np.testing.assert_array_equal(output[2:], _image())
    assert (output[:2] >= _image()).all()


def test_route_takes_one_group_of_every_input(define):
    text = "[maxpool]\nsize=1\n[upsample]\nstride=1\n[route]\nlayers=0,1\ngroups=2\ngroup_id=1\n"

    output = _run(DarknetNetwork(define(text)), _image())

    np.testing.assert_array_equal(output, _image()[[1, 1]])


def test_dropout_does_nothing_but_counts(define):
    text = "[maxpool]\nsize=1\n[dropout]\n[shortcut]\nfrom=-2\n"

    output = _run(DarknetNetwork(define(text)), _image())

    np.testing.assert_array_equal(output, 2 * _image())
