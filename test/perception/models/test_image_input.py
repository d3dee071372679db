from __future__ import annotations

import numpy as np
import pytest
import torch

from swapnet_ros.perception.errors import ImageError, PreprocessingError
from swapnet_ros.perception.models.image_input import ImageInput, InputChanges, declared_changes

_CAFFE = {"channel_order": "bgr", "scale": 1.0, "mean": (104, 117, 123)}


def _noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_values_are_scaled_then_normalised():
    image = _noise(4, 6)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    planes = ImageInput(height=4, width=6, mean=mean, std=std)(image).inputs[0]

    expected = (image / 255 - np.array(mean)) / np.array(std)
    assert planes.dtype == torch.float32
    np.testing.assert_allclose(planes[0].permute(1, 2, 0), expected, atol=1e-6)


def test_caffes_order_and_mean():
    image = _noise(4, 6)

    planes = ImageInput(height=4, width=6, **_CAFFE)(image).inputs[0]

    expected = image[:, :, ::-1].astype(float) - np.array((104, 117, 123))
    np.testing.assert_allclose(planes[0].permute(1, 2, 0), expected, atol=1e-4)


def test_crop_is_torchvisions():
    published = pytest.importorskip("torchvision.models").ResNet18_Weights.DEFAULT.transforms()
    image = np.repeat(np.repeat(_noise(30, 50), 10, axis=0), 10, axis=1)
    wanted = ImageInput(
        height=224,
        width=224,
        fit="crop",
        crop_share=224 / 256,
        mean=tuple(published.mean),
        std=tuple(published.std),
    )

    prepared = wanted(image)

    expected = published(torch.from_numpy(image).permute(2, 0, 1))[None]
    # torchvision rounds the offset of the crop half a pixel the other way
    difference = (prepared.inputs[0] - expected).abs()
    assert float(difference.mean()) < 0.1
    assert prepared.geometry.offset_x < 0


@pytest.mark.parametrize("fit", ["squash", "letterbox", "crop"])
def test_a_box_lies_where_its_pixels_went(fit):
    image = np.zeros((100, 160, 3), np.uint8)
    image[40:60, 70:100] = 255

    prepared = ImageInput(height=64, width=64, fit=fit)(image)

    rows, columns = (prepared.inputs[0][0, 0] > 0.75).nonzero(as_tuple=True)
    box = torch.tensor([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]).float()
    found = prepared.geometry.to_source(box)[0]
    np.testing.assert_allclose(found, (70, 40, 100, 60), atol=2.6)


def test_a_read_only_mirrored_image_is_taken():
    image = _noise(20, 30)
    image.flags.writeable = False

    ImageInput(height=8, width=8)(image[:, ::-1])


def test_an_image_without_colours_is_refused():
    with pytest.raises(ImageError, match="convert grey images"):
        ImageInput(height=8, width=8)(np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 0}, "0x0 has no pixels"),
        ({"size": (3, 4, 5)}, "height and width"),
        ({"fit": "stretch"}, "not one of squash, letterbox, crop"),
        ({"channel_order": "gbr"}, "not one of rgb, bgr"),
        ({"crop_share": 0.0}, "crop_share is 0.0"),
        ({"scale": 0.0}, "scale is 0.0"),
        ({"mean": (1.0,)}, "not three numbers"),
        ({"std": (1.0, 0.0, 1.0)}, "divided by 0"),
        ({"std": (1.0, float("nan"), 1.0)}, "not three numbers"),
    ],
)
def test_impossible_preprocessing_is_refused(changes, message):
    with pytest.raises(PreprocessingError, match=message):
        InputChanges(**changes).applied_to(ImageInput(height=8, width=8))


def test_what_is_not_changed_stays():
    default = ImageInput(height=8, width=9, fit="crop", mean=(1.0, 2.0, 3.0))

    assert InputChanges().applied_to(default) == default
    assert InputChanges(size=5, mean=[0, 0, 0]).applied_to(default) == ImageInput(
        height=5, width=5, fit="crop", mean=(0, 0, 0)
    )


def test_a_declaration_with_a_misspelt_key_is_refused():
    with pytest.raises(PreprocessingError, match=r"image_input of mine:Net has 'means'; known are"):
        declared_changes({"means": (0, 0, 0)}, owner="mine:Net")
