"""Image messages become RGB arrays, whatever their encoding; bad ones say what is wrong."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from swapnet_ros.nodes.images import decode_image, encode_image
from swapnet_ros.perception.errors import ImageMessageError
from swapnet_ros.perception.image_messages import ENCODINGS

RED, GREEN, BLUE = (250, 10, 20), (10, 250, 20), (20, 10, 250)


def picture(height: int = 6, width: int = 8) -> np.ndarray:
    """Random colours, uint8 [height, width, 3], RGB."""
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)


def raw(pixels: np.ndarray, encoding: str, *, padding: int = 0, big_endian: bool = False) -> Image:
    """Lay pixels [height, width, channels] into a message, with padding bytes after each row."""
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1).astype(pixels.dtype.newbyteorder(">" if big_endian else "<"))
    rows = np.ascontiguousarray(rows).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    return Image(
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=int(big_endian),
        step=padded.shape[1],
        data=padded.tobytes(),
    )


def alpha(image: np.ndarray) -> np.ndarray:
    return np.dstack([image, np.full(image.shape[:2], 77, np.uint8)])


def bgr(image: np.ndarray) -> np.ndarray:
    return image[..., ::-1]


def wide(pixels: np.ndarray) -> np.ndarray:
    """The same picture with 16 bits per value."""
    return pixels.astype(np.uint16) * 257


COLOURS = {
    "rgb8": picture(),
    "bgr8": bgr(picture()),
    "8UC3": bgr(picture()),
    "rgba8": alpha(picture()),
    "bgra8": alpha(bgr(picture()))[..., [0, 1, 2, 3]],
    "8UC4": alpha(bgr(picture())),
    "rgb16": wide(picture()),
    "bgr16": wide(bgr(picture())),
    "rgba16": wide(alpha(picture())),
    "bgra16": wide(alpha(bgr(picture()))),
}
GREYS = {
    "mono8": picture()[..., :1],
    "8UC1": picture()[..., :1],
    "mono16": wide(picture()[..., :1]),
}


@pytest.mark.parametrize("padding", [0, 1, 5])
@pytest.mark.parametrize("encoding", COLOURS)
def test_colours_come_out_as_they_are(encoding: str, padding: int) -> None:
    message = raw(COLOURS[encoding], encoding, padding=padding)
    np.testing.assert_array_equal(decode_image(message), picture())


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("encoding", GREYS)
def test_greys_come_out_on_all_three_channels(encoding: str, padding: int) -> None:
    message = raw(GREYS[encoding], encoding, padding=padding)
    np.testing.assert_array_equal(decode_image(message), picture()[..., [0, 0, 0]])


@pytest.mark.parametrize("encoding", ["mono16", "rgb16", "bgra16"])
def test_byte_order_is_honoured(encoding: str) -> None:
    pixels = {**COLOURS, **GREYS}[encoding]
    big, little = raw(pixels, encoding, big_endian=True), raw(pixels, encoding)
    assert bytes(big.data) == bytes(np.frombuffer(little.data, "<u2").byteswap().tobytes())
    wanted = decode_image(little)
    np.testing.assert_array_equal(decode_image(big), wanted)
    uneven = raw(pixels // 3 + 5, encoding, big_endian=True, padding=3)
    np.testing.assert_array_equal(
        decode_image(uneven), decode_image(raw(pixels // 3 + 5, encoding))
    )


def mosaic(first_row: str, second_row: str, colour: tuple[int, int, int]) -> np.ndarray:
    """What a sensor with this Bayer pattern sees of an even colour: uint8 [8, 8, 1]."""
    tile = [[colour["rgb".index(letter)] for letter in row] for row in (first_row, second_row)]
    return np.tile(np.array(tile, np.uint8), (4, 4))[..., None]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("colour", [RED, GREEN, BLUE])
def test_bayer_patterns(pattern: str, bits: int, colour: tuple[int, int, int]) -> None:
    sensor = mosaic(pattern[:2], pattern[2:], colour)
    message = raw(sensor if bits == 8 else wide(sensor), f"bayer_{pattern}{bits}", padding=2)
    image = decode_image(message)
    assert image.shape == (8, 8, 3)
    np.testing.assert_array_equal(image[2:-2, 2:-2].reshape(-1, 3), np.tile(colour, (16, 1)))


@pytest.mark.parametrize(
    ("encoding", "order"),
    [("uyvy", "uyvy"), ("yuv422", "uyvy"), ("yuyv", "yuyv"), ("yuv422_yuy2", "yuyv")],
)
def test_yuv422(encoding: str, order: str) -> None:
    y, u, v = 81, 90, 240  # BT.601 red
    pair = [{"y": y, "u": u, "v": v}[letter] for letter in order]
    pixels = np.tile(np.array(pair, np.uint8).reshape(1, 2, 2), (4, 3, 1))
    image = decode_image(raw(pixels, encoding, padding=1))
    assert image.shape == (4, 6, 3)
    assert np.abs(image.astype(int) - (255, 0, 0)).max() <= 2


def test_every_encoding_of_the_table_has_a_test() -> None:
    tested = {*COLOURS, *GREYS, "uyvy", "yuv422", "yuyv", "yuv422_yuy2"}
    assert {name for name in ENCODINGS if not name.startswith("bayer_")} == tested


def _broken(**changes: object) -> Image:
    message = raw(picture(), "rgb8")
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (_broken(step=23), "step is 23 bytes, but a row of 8 pixels in rgb8 has 24"),
        (_broken(step=25), "data has 144 bytes, but 6 rows with a step of 25 bytes have 150"),
        (_broken(data=b"\0" * 143), "data has 143 bytes"),
        (_broken(data=b""), "data has 0 bytes"),
        (_broken(height=7), "7 rows with a step of 24 bytes have 168"),
        (_broken(height=0), "no pixels: width 8, height 0"),
        (_broken(width=0), "no pixels: width 0, height 6"),
        (_broken(width=2**32 - 1), "step is 24 bytes"),
        (_broken(encoding="bgra8"), "a row of 8 pixels in bgra8 has 32"),
        (_broken(encoding="rgb9"), "encoding 'rgb9' is not known; known are 8UC1, "),
        (_broken(encoding=""), "encoding '' is not known"),
        (_broken(encoding="uyvy", width=7), "a width that is a multiple of 2, not 7"),
    ],
)
def test_a_wrong_layout_is_refused_with_the_reason(message: Image, reason: str) -> None:
    with pytest.raises(ImageMessageError) as caught:
        decode_image(message)
    assert reason in str(caught.value)


class StandInBridge:
    """cv_bridge is not on the package index; this has the one method that is used of it."""

    def imgmsg_to_cv2(self, message: Image, desired_encoding: str) -> np.ndarray:
        if message.encoding != "nv21" or desired_encoding != "rgb8":
            raise RuntimeError(f"[{message.encoding}] is not a color format")
        return picture()


def test_other_encodings_go_to_cv_bridge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv_bridge", SimpleNamespace(CvBridge=StandInBridge))
    np.testing.assert_array_equal(decode_image(_broken(encoding="nv21")), picture())
    with pytest.raises(ImageMessageError, match="cannot convert encoding '32FC1' to rgb8: "):
        decode_image(_broken(encoding="32FC1"))


@settings(max_examples=200, deadline=None)
@given(
    encoding=st.sampled_from([*ENCODINGS, "nonsense"]),
    width=st.integers(0, 5),
    height=st.integers(0, 5),
    step=st.integers(0, 40),
    size=st.integers(0, 200),
    big_endian=st.booleans(),
)
def test_any_message_gives_an_image_or_an_image_message_error(
    encoding: str, width: int, height: int, step: int, size: int, big_endian: bool
) -> None:
    message = Image(
        encoding=encoding,
        width=width,
        height=height,
        step=step,
        data=bytes(size),
        is_bigendian=int(big_endian),
    )
    try:
        image = decode_image(message)
    except ImageMessageError:
        return
    assert image.shape == (height, width, 3)
    assert image.dtype == np.uint8


def _compressed(suffix: str, image: np.ndarray, name: str) -> CompressedImage:
    done, data = cv2.imencode(suffix, image)
    assert done
    return CompressedImage(format=name, data=data.tobytes())


def test_png_is_exact() -> None:
    message = _compressed(".png", bgr(picture()), "rgb8; png compressed bgr8")
    np.testing.assert_array_equal(decode_image(message), picture())


def test_jpeg_keeps_colours() -> None:
    even = np.full((32, 48, 3), RED, np.uint8)
    image = decode_image(_compressed(".jpg", np.ascontiguousarray(bgr(even)), "jpeg"))
    assert image.shape == even.shape
    assert np.abs(image.astype(int) - even).max() <= 4


def test_grey_and_deep_pngs_become_rgb8() -> None:
    grey = picture(20, 30)[..., 0]
    np.testing.assert_array_equal(
        decode_image(_compressed(".png", grey, "png")), np.dstack([grey] * 3)
    )
    assert decode_image(_compressed(".png", wide(grey), "png")).dtype == np.uint8


def _cut(message: CompressedImage, kept: float) -> CompressedImage:
    size = int(len(message.data) * kept)
    return CompressedImage(format=message.format, data=bytes(message.data)[:size])


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (CompressedImage(format="jpeg"), "the message is empty"),
        (CompressedImage(format="jpeg", data=b"not an image at all"), "cannot be decoded"),
        (CompressedImage(format="jpeg", data=b"\xff\xd8\xff" + bytes(80) + b"\xff\xd9"), "decoded"),
        (_cut(_compressed(".jpg", picture(64, 64), "jpeg"), 0.6), "JPEG is cut off"),
        (_cut(_compressed(".png", picture(64, 64), "png"), 0.6), "PNG is cut off"),
        (
            _compressed(".png", picture()[..., 0], "16UC1; compressedDepth png"),
            "depth image; a colour image is needed",
        ),
    ],
)
def test_bad_compressed_data_is_refused_with_the_reason(
    message: CompressedImage, reason: str
) -> None:
    with pytest.raises(ImageMessageError) as caught:
        decode_image(message)
    assert reason in str(caught.value)


@pytest.mark.parametrize("view", [picture(), picture()[:, ::-1], picture(12, 16)[::2, ::2]])
def test_an_encoded_image_decodes_to_itself(view: np.ndarray) -> None:
    header = Header(frame_id="camera")
    header.stamp.sec = 12
    message = encode_image(view, header)
    assert message.header == header
    assert message.encoding == "rgb8"
    np.testing.assert_array_equal(decode_image(message), view)
