from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from swapnet_ros.perception.models.darknet.decode import YoloDecoder

_ANCHORS = ((12.0, 30.0), (50.0, 20.0))
_CLASSES = 3


def _decoder(define, keys: str = "") -> YoloDecoder:
    head = (
        "[convolutional]\nfilters=16\nactivation=linear\n[yolo]\nclasses=3\nnum=2\n"
        f"anchors=12,30,50,20\n{keys}"
    )
    definition = define(head)
    return YoloDecoder(heads=definition.heads, input_shape=definition.input_shape)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _expected(output: np.ndarray, threshold: float, scale: float = 1.0, new: bool = False):
    """Darknet's decoding, one cell, anchor and class after the other."""
    squash = (lambda x: x) if new else _sigmoid
    _, rows, columns = output.shape
    found = []
    for a, y, x in itertools.product(range(2), range(rows), range(columns)):
        values = [float(v) for v in output[a * 8 : a * 8 + 8, y, x]]
        objectness = squash(values[4])
        bx = (x + squash(values[0]) * scale - 0.5 * (scale - 1)) / columns * 5
        by = (y + squash(values[1]) * scale - 0.5 * (scale - 1)) / rows * 6
        sizes = [v * v * 4 if new else math.exp(v) for v in values[2:4]]
        w, h = sizes[0] * _ANCHORS[a][0], sizes[1] * _ANCHORS[a][1]
        for c in range(_CLASSES):
            score = objectness * squash(values[5 + c])
            if objectness > threshold and score > threshold:
                found.append((bx - w / 2, by - h / 2, bx + w / 2, by + h / 2, score, c))
    return sorted(found)


def _actual(candidates):
    rows = torch.cat(
        (candidates.boxes, candidates.scores[:, None], candidates.class_ids[:, None]), dim=1
    )
    return sorted(map(tuple, rows.tolist()))


def _output(rows: int = 3, columns: int = 5) -> torch.Tensor:
    return 2 * torch.randn(1, 16, rows, columns, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.3, 0.8, 1.0])
def test_as_darknet_cell_by_cell(define, threshold):
    output = _output()

    actual = _actual(_decoder(define)([output], threshold))

    expected = _expected(output[0].numpy(), threshold)
    assert len(actual) == len(expected)
    if expected:
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_scale_x_y(define):
    output = _output()

    actual = _actual(_decoder(define, "scale_x_y=1.2\n")([output], 0.2))

    expected = _expected(output[0].numpy(), 0.2, scale=1.2)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_new_coords(define):
    output = _output().sigmoid()

    actual = _actual(_decoder(define, "scale_x_y=2\nnew_coords=1\n")([output], 0.2))

    expected = _expected(output[0].numpy(), 0.2, scale=2.0, new=True)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_numbers_that_are_none_find_nothing(define):
    candidates = _decoder(define)([torch.full((1, 16, 3, 5), math.nan)], 0.0)

    assert len(candidates.scores) == 0
    assert candidates.boxes.shape == (0, 4)


def test_huge_sizes_stay_finite(define):
    candidates = _decoder(define)([torch.full((1, 16, 3, 5), 1000.0)], 0.3)

    assert len(candidates.scores) == 3 * 5 * 2 * _CLASSES
    assert candidates.boxes.isfinite().all()
