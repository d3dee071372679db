"""The pixels of `sensor_msgs` images as RGB arrays, whoever read the message: rclpy or a bag.

`step` and `is_bigendian` are honoured, and no pixels are copied where they need not be; colours are
converted by OpenCV.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from swapnet_ros.perception.errors import ImageMessageError

RgbImage = NDArray[np.uint8]


class RawImage(Protocol):
    """A `sensor_msgs/Image`; `data` is a buffer of bytes."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any


class CompressedImage(Protocol):
    """A `sensor_msgs/CompressedImage`; `data` is a buffer of bytes."""

    format: str
    data: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How the pixels of one `sensor_msgs/Image.encoding` lie in memory.

    Attributes:
        item_bytes: bytes of one channel value, 1 or 2.
        channels: channel values per pixel.
        to_rgb: OpenCV's conversion to RGB, or None where the pixels are RGB already.
        width_multiple: the width must be a multiple of it.
    """

    item_bytes: int
    channels: int
    to_rgb: int | None
    width_multiple: int = 1


def _family(channels: int, to_rgb: int | None, *names: str) -> dict[str, Encoding]:
    """Encodings that differ in nothing but 8 or 16 bits per value, as the name's end says."""
    return {
        name: Encoding(item_bytes=2 if "16" in name else 1, channels=channels, to_rgb=to_rgb)
        for name in names
    }


def _packed(to_rgb: int, *names: str) -> dict[str, Encoding]:
    """YUV 4:2:2: two pixels share their colour, so the width is even."""
    encoding = Encoding(item_bytes=1, channels=2, to_rgb=to_rgb, width_multiple=2)
    return dict.fromkeys(names, encoding)


# A name like 8UC3 says nothing about colours; OpenCV's order is BGR, so that is how it is read.
# OpenCV names a Bayer pattern by its second row, ROS by its first: rggb is OpenCV's "BG".
ENCODINGS: dict[str, Encoding] = {
    **_family(3, None, "rgb8", "rgb16"),
    **_family(3, cv2.COLOR_BGR2RGB, "bgr8", "bgr16", "8UC3"),
    **_family(4, cv2.COLOR_RGBA2RGB, "rgba8", "rgba16"),
    **_family(4, cv2.COLOR_BGRA2RGB, "bgra8", "bgra16", "8UC4"),
    **_family(1, cv2.COLOR_GRAY2RGB, "mono8", "mono16", "8UC1"),
    **_family(1, cv2.COLOR_BayerBG2RGB, "bayer_rggb8", "bayer_rggb16"),
    **_family(1, cv2.COLOR_BayerRG2RGB, "bayer_bggr8", "bayer_bggr16"),
    **_family(1, cv2.COLOR_BayerGR2RGB, "bayer_gbrg8", "bayer_gbrg16"),
    **_family(1, cv2.COLOR_BayerGB2RGB, "bayer_grbg8", "bayer_grbg16"),
    **_packed(cv2.COLOR_YUV2RGB_UYVY, "uyvy", "yuv422"),
    **_packed(cv2.COLOR_YUV2RGB_YUY2, "yuyv", "yuv422_yuy2"),
}


def decode_raw(message: RawImage) -> RgbImage:
    """Turn a raw image into an RGB array.

    Args:
        message: the image; its data is not changed.

    Returns:
        uint8 [height, width, 3], RGB. It may share memory with the message, with row strides.

    Raises:
        ImageMessageError: encoding, step or size are not usable; says which.
    """
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None:
        raise ImageMessageError(
            f"encoding {message.encoding!r} is not known; known are {', '.join(sorted(ENCODINGS))}"
        )
    return _convert(_pixels(message, encoding), encoding, message.encoding)


def _pixels(message: RawImage, encoding: Encoding) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """View the message's data as [height, width, channels], without a copy."""
    _check_layout(message, encoding)
    order = ">" if message.is_bigendian else "<"
    item_bytes, channels = encoding.item_bytes, encoding.channels
    return np.ndarray(
        shape=(message.height, message.width, channels),
        dtype=np.dtype(f"{order}u{item_bytes}"),
        buffer=message.data,
        strides=(message.step, channels * item_bytes, item_bytes),
    )


def _check_layout(message: RawImage, encoding: Encoding) -> None:
    width, height, step = message.width, message.height, message.step
    if width == 0 or height == 0:
        raise ImageMessageError(f"the image has no pixels: width {width}, height {height}")
    if width % encoding.width_multiple:
        raise ImageMessageError(
            f"{message.encoding} needs a width that is a multiple of {encoding.width_multiple}, "
            f"not {width}"
        )
    row_bytes = width * encoding.channels * encoding.item_bytes
    if step < row_bytes:
        raise ImageMessageError(
            f"step is {step} bytes, but a row of {width} pixels in {message.encoding} "
            f"has {row_bytes}"
        )
    if len(message.data) != step * height:
        raise ImageMessageError(
            f"data has {len(message.data)} bytes, but {height} rows with a step of {step} bytes "
            f"have {step * height}"
        )


def _convert(
    pixels: NDArray[np.uint8] | NDArray[np.uint16], encoding: Encoding, name: str
) -> RgbImage:
    if encoding.item_bytes == 2:
        # white, 65535, becomes 255: the same scale as cv_bridge's
        pixels = cv2.convertScaleAbs(pixels.astype(np.uint16), alpha=255 / 65535)
        pixels = pixels.reshape(pixels.shape[0], pixels.shape[1], encoding.channels)
    if encoding.to_rgb is None:
        return pixels
    try:
        return cv2.cvtColor(pixels, encoding.to_rgb)
    except cv2.error as error:
        height, width = pixels.shape[:2]
        raise ImageMessageError(
            f"OpenCV cannot convert {width}x{height} pixels in {name}: {error}"
        ) from error


def decode_compressed(message: CompressedImage) -> RgbImage:
    """Turn a compressed image into an RGB array.

    Args:
        message: the image; its data is not changed.

    Returns:
        uint8 [height, width, 3], RGB.

    Raises:
        ImageMessageError: the data is no whole colour image that OpenCV knows.
    """
    data = np.frombuffer(message.data, dtype=np.uint8)
    what = f"{data.size} bytes of compressed data (format {message.format!r})"
    if "compressedDepth" in message.format:
        raise ImageMessageError(f"{what} hold a depth image; a colour image is needed")
    _check_is_complete(data, what)
    try:
        # The pixel frame is the camera's: an orientation tag must not turn it.
        image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ImageMessageError(f"{what} cannot be decoded: {error}") from error
    if image is None:
        raise ImageMessageError(f"{what} cannot be decoded: damaged, or no JPEG, PNG or the like")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


# format: (bytes at the beginning, mark near the end, bytes from the end in which it must lie)
_SIGNATURES = {
    "JPEG": (b"\xff\xd8\xff", b"\xff\xd9", 64),
    "PNG": (b"\x89PNG\r\n\x1a\n", b"IEND", 64),
}


def _check_is_complete(data: NDArray[np.uint8], what: str) -> None:
    """Refuse a file that was cut off: OpenCV would return it half grey, without an error."""
    if data.size == 0:
        raise ImageMessageError(f"{what}: the message is empty")
    for name, (start, end, tail_bytes) in _SIGNATURES.items():
        if data[: len(start)].tobytes() != start:
            continue
        if end not in data[-tail_bytes:].tobytes():
            raise ImageMessageError(f"{what}: the {name} is cut off, its end mark is missing")
