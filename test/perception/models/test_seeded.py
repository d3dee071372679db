from __future__ import annotations

import pytest
import torch
from torch import nn

from swapnet_ros.perception.models.seeded import SeededWeights


def _skeleton() -> nn.Module:
    with torch.device("meta"):
        return nn.Sequential(
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.Linear(128, 10)
        )


def test_equal_seeds_give_equal_weights_in_any_order():
    first, second = (SeededWeights(_skeleton(), seed=4) for _ in range(2))

    forwards = {name: first[name] for name in first}
    backwards = {name: second[name] for name in reversed(list(second))}

    assert all(torch.equal(forwards[name], backwards[name]) for name in forwards)


def test_other_seeds_and_names_give_other_weights():
    a, b = SeededWeights(_skeleton(), seed=4), SeededWeights(_skeleton(), seed=5)

    assert not torch.equal(a["0.weight"], b["0.weight"])
    assert not torch.equal(a["0.weight"].flatten()[:100], a["2.weight"].flatten()[:100])


def test_drawing_does_not_touch_the_global_generator():
    before = torch.random.get_rng_state()

    SeededWeights(_skeleton(), seed=4)["0.weight"]

    assert torch.equal(torch.random.get_rng_state(), before)


def test_shapes_and_types_are_those_of_the_state_dict():
    skeleton = _skeleton()
    weights = SeededWeights(skeleton, seed=0)

    facts = {name: (tensor.shape, tensor.dtype) for name, tensor in weights.items()}

    state = skeleton.state_dict()
    assert facts == {name: (tensor.shape, tensor.dtype) for name, tensor in state.items()}
    with pytest.raises(KeyError):
        weights["absent"]


def test_normalisation_is_neutral():
    weights = SeededWeights(_skeleton(), seed=0)

    assert weights["1.weight"].eq(1).all()
    assert weights["1.running_var"].eq(1).all()
    assert weights["1.bias"].eq(0).all()
    assert weights["1.running_mean"].eq(0).all()
    assert weights["1.num_batches_tracked"] == 0


def test_kernels_have_the_variance_of_he():
    weights = SeededWeights(_skeleton(), seed=0)

    assert weights["0.weight"].var().item() == pytest.approx(2 / (16 * 9), rel=0.1)


def test_gains_and_constants():
    plain = SeededWeights(_skeleton(), seed=0)
    bias = torch.arange(32.0)
    weights = SeededWeights(
        _skeleton(), seed=0, gains={"0.weight": 2.0, "1.weight": 0.5}, constants={"0.bias": bias}
    )

    torch.testing.assert_close(weights["0.weight"], 2 * plain["0.weight"])
    assert weights["1.weight"].eq(0.5).all()
    weights["0.bias"].zero_()
    assert torch.equal(weights["0.bias"], bias)
