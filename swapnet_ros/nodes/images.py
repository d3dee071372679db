"""Image messages to RGB arrays, and back.

Encodings that `perception.image_messages` does not know go to cv_bridge, where that is installed.
"""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from swapnet_ros.perception.errors import ImageMessageError
from swapnet_ros.perception.image_messages import (
    ENCODINGS,
    RgbImage,
    decode_compressed,
    decode_raw,
)


def decode_image(message: Image | CompressedImage) -> RgbImage:
    """Turn an image message into an RGB array.

    Args:
        message: raw or compressed image; its data is not changed.

    Returns:
        uint8 [height, width, 3], RGB. It may share memory with the message, with row strides.

    Raises:
        ImageMessageError: encoding, step, size or compressed data are not usable; says which.
    """
    if isinstance(message, CompressedImage):
        return decode_compressed(message)
    if message.encoding in ENCODINGS:
        return decode_raw(message)
    return _decode_with_cv_bridge(message)


def encode_image(image: RgbImage, header: Header) -> Image:
    """Turn an RGB array into an `rgb8` message.

    Args:
        image: uint8 [height, width, 3], RGB.
        header: the header of the message.

    Returns:
        A message that holds its own copy of the pixels.
    """
    return _encode(image, "rgb8", header)


def encode_class_map(class_map: NDArray[np.uint8], header: Header) -> Image:
    """Turn a class map into a `mono8` message.

    Args:
        class_map: uint8 [height, width].
        header: the header of the message.

    Returns:
        A message that holds its own copy of the pixels.
    """
    return _encode(class_map, "mono8", header)


def encode_mask(mask: NDArray[np.bool_], header: Header) -> Image:
    """Turn a mask into a `mono8` message: 255 where it is true, else 0.

    Args:
        mask: bool [height, width].
        header: the header of the message.

    Returns:
        A message that holds its own copy of the pixels.
    """
    return _encode(mask.astype(np.uint8) * 255, "mono8", header)


def _encode(image: NDArray[np.uint8], encoding: str, header: Header) -> Image:
    height, width = image.shape[:2]
    message = Image(header=header, height=height, width=width, encoding=encoding)
    message.step = image.size // height
    # frombytes copies 720p in 0.1 ms; array("B", image) or a list would take over 100 ms.
    pixels = array("B")
    pixels.frombytes(memoryview(np.ascontiguousarray(image)).cast("B"))
    message.data = pixels
    return message


def _decode_with_cv_bridge(message: Image) -> RgbImage:
    """Hand an encoding that the table does not have to cv_bridge."""
    try:
        from cv_bridge import CvBridge
    except ImportError as error:
        raise ImageMessageError(
            f"encoding {message.encoding!r} is not known; known are {', '.join(sorted(ENCODINGS))}."
            " Other encodings need the package cv_bridge, which is not installed"
        ) from error
    try:
        return CvBridge().imgmsg_to_cv2(message, desired_encoding="rgb8")
    except Exception as error:  # cv_bridge raises its own, OpenCV's and NumPy's errors
        raise ImageMessageError(
            f"cv_bridge cannot convert encoding {message.encoding!r} to rgb8: {error}"
        ) from error
