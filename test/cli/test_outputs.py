"""How far outputs lie apart."""

import math

import pytest
import torch

from swapnet_ros.cli.outputs import largest_difference


def test_equal_structures_have_no_difference():
    output = {"out": torch.ones(2, 3), "boxes": [torch.arange(4)], "count": 3}
    assert largest_difference(output, output) == 0.0


def test_it_is_relative_to_the_largest_value():
    expected = torch.tensor([1.0, -4.0])
    assert largest_difference(torch.tensor([1.5, -4.0]), expected) == 0.125


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (torch.ones(2), torch.ones(3)),
        (torch.ones(2), torch.ones(2).double()),
        (torch.arange(3), torch.zeros(3, dtype=torch.int64)),
        (torch.tensor([math.nan]), torch.ones(1)),
        (torch.ones(1), torch.zeros(1)),
        (3, 4),
    ],
)
def test_what_cannot_be_close_is_infinitely_far(output, expected):
    assert largest_difference(output, expected) == math.inf
