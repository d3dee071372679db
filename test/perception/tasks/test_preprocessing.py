from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swapnet_ros.perception.errors import ImageError
from swapnet_ros.perception.tasks.preprocessing import BatchOfOne, Letterbox, ListOfOne, Squash

_FITS = [Squash, Letterbox]
_sides = st.integers(min_value=1, max_value=300)


@pytest.mark.parametrize("fit", _FITS)
@given(
    source=st.tuples(_sides, _sides),
    target=st.tuples(_sides, _sides),
    shares=st.tuples(*[st.floats(0, 1)] * 4),
)
def test_a_box_comes_back_from_the_network_to_where_it_was(fit, source, target, shares):
    image = np.zeros((*source, 3), np.uint8)
    _, geometry = fit(height=target[0], width=target[1])(image)
    x0, x1 = sorted(share * source[1] for share in shares[:2])
    y0, y1 = sorted(share * source[0] for share in shares[2:])
    box = torch.tensor([[x0, y0, x1, y1]], dtype=torch.float64)

    inside = geometry.to_network(box)

    torch.testing.assert_close(geometry.to_source(inside), box, rtol=1e-9, atol=1e-6)
    assert inside.min() >= -1e-6
    assert inside[0, 2] <= target[1] + 1e-6
    assert inside[0, 3] <= target[0] + 1e-6


@pytest.mark.parametrize("fit", _FITS)
@pytest.mark.parametrize("shape", [(120, 200), (200, 120)])
def test_geometry_says_where_pixels_really_went(fit, shape):
    image = np.zeros((*shape, 3), np.uint8)
    image[40:80, 50:100] = 255

    planes, geometry = fit(height=96, width=128)(image)

    box = geometry.to_network(torch.tensor([[50.0, 40.0, 100.0, 80.0]]))
    rows, columns = (planes[0, 0] > 0.75).nonzero(as_tuple=True)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(found, box[0], atol=1.0)


def test_squash_fills_the_whole_input():
    image = np.full((20, 80, 3), 255, np.uint8)

    planes, geometry = Squash(height=32, width=32)(image)

    assert planes.shape == (1, 3, 32, 32)
    assert planes.eq(1.0).all()
    assert (geometry.scale_x, geometry.scale_y) == (0.4, 1.6)


def test_letterbox_keeps_proportions_between_grey_borders():
    image = np.full((20, 80, 3), 255, np.uint8)

    planes, geometry = Letterbox(height=32, width=32)(image)

    assert planes[0, :, 12:20].eq(1.0).all()
    assert planes[0, :, :12].eq(0.5).all()
    assert planes[0, :, 20:].eq(0.5).all()
    assert (geometry.scale_x, geometry.scale_y, geometry.offset_y) == (0.4, 0.4, 12.0)


@pytest.mark.parametrize("fit", _FITS)
def test_values_are_exact_and_channels_stay_in_order(fit):
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)

    planes, _ = fit(height=16, width=16)(image)

    expected = torch.from_numpy(image.astype(np.float32) / np.float32(255)).permute(2, 0, 1)
    assert planes.dtype == torch.float32
    assert planes.is_contiguous()
    assert torch.equal(planes[0], expected)


@pytest.mark.parametrize("fit", _FITS)
@pytest.mark.parametrize(
    "view",
    [
        lambda image: image[:, :, ::-1],
        lambda image: image[::-1],
        lambda image: image[::2, ::3],
        lambda image: np.asfortranarray(image),
        lambda image: np.lib.stride_tricks.as_strided(image, image.shape, (0, 3, 1)),
    ],
)
@pytest.mark.parametrize("side", [24, 48])
def test_any_strides_give_what_a_copy_gives(fit, view, side):
    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    image.setflags(write=False)
    strided = view(image)

    planes, _ = fit(height=side, width=side)(strided)

    copied, _ = fit(height=side, width=side)(strided.copy(order="C"))
    assert torch.equal(planes, copied)


@pytest.mark.parametrize("fit", _FITS)
def test_one_pixel_is_an_image(fit):
    planes, _ = fit(height=8, width=4)(np.full((1, 1, 3), 51, np.uint8))

    assert planes[0, :, 2:6].eq(0.2).all()


@pytest.mark.parametrize("fit", _FITS)
def test_extreme_proportions_keep_a_pixel(fit):
    planes, geometry = fit(height=8, width=8)(np.full((1, 1000, 3), 255, np.uint8))

    assert planes.max() == 1.0
    assert geometry.scale_y >= 1.0


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (None, "is NoneType"),
        (torch.zeros(4, 4, 3), r"is Tensor.*image\.numpy\(\)"),
        (np.zeros((4, 4), np.uint8), r"is uint8 \[4, 4\].*grey"),
        (np.zeros((4, 4, 4), np.uint8), r"is uint8 \[4, 4, 4\].*alpha"),
        (np.zeros((3, 4, 4), np.uint8), r"is uint8 \[3, 4, 4\]"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"is uint8 \[1, 4, 4, 3\]"),
        (np.zeros((4, 4, 3), np.float32), r"is float32 \[4, 4, 3\]; scale and convert"),
        (np.zeros((4, 4, 3), np.uint16), r"is uint16 \[4, 4, 3\]"),
        (np.zeros((0, 4, 3), np.uint8), r"is uint8 \[0, 4, 3\]; drop empty frames"),
    ],
)
@pytest.mark.parametrize("fit", _FITS)
def test_what_is_no_rgb_image_is_refused(fit, image, words):
    with pytest.raises(ImageError, match=words):
        fit(height=8, width=8)(image)


def test_the_ways_to_hand_over():
    image = np.zeros((4, 4, 3), np.uint8)
    fit = Squash(height=8, width=6)

    (batch,) = BatchOfOne(fit=fit)(image).inputs
    (images,) = ListOfOne(fit=fit)(image).inputs

    assert batch.shape == (1, 3, 8, 6)
    assert [tuple(one.shape) for one in images] == [(3, 8, 6)]
