"""Makes a bag: images, labels and results, as MCAP or SQLite."""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError

from swapnet_ros.evaluation.bags.formats import BagStorage, ImageCompression
from swapnet_ros.evaluation.bags.message_types import COMPRESSED_IMAGE, known_types
from swapnet_ros.evaluation.bags.problems import BagError
from swapnet_ros.evaluation.bags.result_messages import ResultMessages
from swapnet_ros.evaluation.task_results import TaskOutput, draw_result

# Metadata of version 9 writes QoS in a way that ROS 2 Humble and Iron cannot read.
_METADATA_VERSION = 8
_JPEG_QUALITY = 95
DEBUG_TOPIC = "debug_image/compressed"


_PLUGINS = {BagStorage.MCAP: StoragePlugin.MCAP, BagStorage.SQLITE3: StoragePlugin.SQLITE3}
_FILE_SUFFIXES = {ImageCompression.JPEG: ".jpg", ImageCompression.PNG: ".png"}


class BagWriter(AbstractContextManager["BagWriter"]):
    """Writes one new bag; equal input makes equal messages. Use from one thread.

    However writing ends, `close` leaves a whole bag of what was written until then.
    """

    def __init__(self, path: Path, *, storage: BagStorage = BagStorage.MCAP) -> None:
        """Make the bag's folder.

        Raises:
            BagError: it exists already, or cannot be made.
        """
        self.path = path
        self._store = known_types()
        self._messages = ResultMessages(self._store)
        self._connections: dict[str, Connection] = {}
        try:
            writer = Writer(path, version=_METADATA_VERSION, storage_plugin=_PLUGINS[storage])
            # rosbag2 of some releases reads this section as a mapping and stumbles over none
            writer.set_custom_data("made_by", "swapnet")
            writer.open()
        except WriterError as error:
            raise BagError(f"{path} exists already; name another folder, or remove it") from error
        except OSError as error:
            raise BagError(f"no bag can be made at {path}: {error.strerror or error}") from error
        self._writer: Writer | None = writer

    def __repr__(self) -> str:
        return f"<BagWriter {self.path.name}, {len(self._connections)} topics>"

    def write_image(
        self, topic: str, image: NDArray[np.uint8], *, stamp_ns: int, frame_id: str
    ) -> None:
        """Write a raw image, as `rgb8`.

        Args:
            topic: where it is published.
            image: uint8 [height, width, 3], RGB.
            stamp_ns: when it was acquired, and recorded.
            frame_id: for its header.

        Raises:
            BagError: it cannot be written.
        """
        header = self._messages.header(stamp_ns=stamp_ns, frame_id=frame_id)
        self.write(topic, self._messages.image(image, "rgb8", header), stamp_ns=stamp_ns)

    def write_compressed_image(
        self,
        topic: str,
        image: NDArray[np.uint8],
        compression: ImageCompression,
        *,
        stamp_ns: int,
        frame_id: str,
    ) -> None:
        """Write a compressed image.

        Args:
            topic: where it is published; by custom it ends in `/compressed`.
            image: uint8 [height, width, 3], RGB.
            compression: how to compress it.
            stamp_ns: when it was acquired, and recorded.
            frame_id: for its header.

        Raises:
            BagError: it cannot be compressed or written.
        """
        data = compress_image(image, compression)
        self.write_compressed_data(topic, data, compression, stamp_ns=stamp_ns, frame_id=frame_id)

    def write_compressed_data(
        self,
        topic: str,
        data: NDArray[np.uint8],
        compression: ImageCompression,
        *,
        stamp_ns: int,
        frame_id: str,
    ) -> None:
        """Write an image that is compressed already, as it is.

        Args:
            topic: where it is published; by custom it ends in `/compressed`.
            data: uint8 [bytes], the content of a file.
            compression: of the data.
            stamp_ns: when it was acquired, and recorded.
            frame_id: for its header.

        Raises:
            BagError: it cannot be written.
        """
        header = self._messages.header(stamp_ns=stamp_ns, frame_id=frame_id)
        make = self._store.types[COMPRESSED_IMAGE]
        message = make(
            header=header, format=f"rgb8; {compression.value} compressed bgr8", data=data
        )
        self.write(topic, message, stamp_ns=stamp_ns)

    def write_result(
        self, node: str, result: TaskOutput, *, network: str, stamp_ns: int, frame_id: str
    ) -> None:
        """Write a result to the topics of a task node, and in the words of `vision_msgs`.

        Args:
            node: the node's name, such as `object_detection`.
            result: of any task.
            network: the network's name.
            stamp_ns: of the source image.
            frame_id: of the source image.

        Raises:
            BagError: it cannot be written.
        """
        header = self._messages.header(stamp_ns=stamp_ns, frame_id=frame_id)
        for topic, message in self._messages.of(result, network, header).items():
            self.write(f"/{node.strip('/')}/{topic}", message, stamp_ns=stamp_ns)

    def write_overlay(
        self,
        node: str,
        image: NDArray[np.uint8],
        result: TaskOutput,
        *,
        stamp_ns: int,
        frame_id: str,
    ) -> None:
        """Write the image with the result drawn in: what every viewer of bags can show.

        Args:
            node: the node's name.
            image: uint8 [height, width, 3], RGB, the one that the result belongs to.
            result: of any task.
            stamp_ns: of the source image.
            frame_id: of the source image.

        Raises:
            BagError: it cannot be written.
            ImageError: the image has another size than the result's.
        """
        self.write_compressed_image(
            f"/{node.strip('/')}/{DEBUG_TOPIC}",
            draw_result(image, result),
            ImageCompression.JPEG,
            stamp_ns=stamp_ns,
            frame_id=frame_id,
        )

    def write(self, topic: str, message: Any, *, stamp_ns: int) -> None:
        """Write any message of a known type.

        Raises:
            BagError: it cannot be written, or the bag is closed.
        """
        kind = message.__msgtype__
        self.write_serialized(
            topic, kind, self._store.serialize_cdr(message, kind), stamp_ns=stamp_ns
        )

    def write_serialized(
        self, topic: str, kind: str, data: bytes | memoryview, *, stamp_ns: int
    ) -> None:
        """Write a message that is serialized already, as it is.

        Args:
            topic: where it is published.
            kind: of the message, e.g. `sensor_msgs/msg/Image`.
            data: CDR with its header of 4 bytes.
            stamp_ns: when it was recorded; bags have no times before 0, which it stands for.

        Raises:
            BagError: it cannot be written, or the bag is closed.
        """
        if self._writer is None:
            raise BagError(f"{self.path} is closed")
        try:
            connection = self._connections.get(topic)
            if connection is None:
                connection = self._writer.add_connection(topic, kind, typestore=self._store)
                self._connections[topic] = connection
            self._writer.write(connection, max(0, stamp_ns), data)
        except OSError as error:
            raise BagError(f"{self.path} cannot be written: {error.strerror or error}") from error

    def close(self) -> None:
        """Write the index and metadata.yaml; may be called again.

        Raises:
            BagError: they cannot be written.
        """
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            writer.close()
        except OSError as error:
            with suppress(OSError):  # the first error is told
                writer.abort()
            raise BagError(f"{self.path} cannot be written: {error.strerror or error}") from error

    def __exit__(self, *_: object) -> None:
        self.close()


def compress_image(image: NDArray[np.uint8], compression: ImageCompression) -> NDArray[np.uint8]:
    """Compress an image, uint8 [height, width, 3], RGB, to the content of a file, uint8 [bytes].

    Raises:
        BagError: OpenCV cannot compress it.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    is_done, data = cv2.imencode(
        _FILE_SUFFIXES[compression], bgr, options if compression is ImageCompression.JPEG else []
    )
    if not is_done:
        raise BagError(f"OpenCV cannot compress an image to {compression.value}")
    return np.asarray(data).reshape(-1)
