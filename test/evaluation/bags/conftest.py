"""Bags to read: made by rosbags itself, message by message."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys.store import Typestore

from swapnet_ros.evaluation.bags.message_types import known_types

WIDTH, HEIGHT = 160, 120
PERIOD_NS = 100_000_000
START_NS = 5_000_000_000

Message = tuple[str, int, Any]  # topic, time of recording, message


def picture(number: int, *, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Noise that no compressor makes smaller; one picture per number."""
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


class Camera:
    """Makes the messages of one image topic."""

    def __init__(self, topic: str = "/image") -> None:
        self.topic = topic
        self.types: Typestore = known_types()

    def stamp_ns(self, number: int) -> int:
        return START_NS + number * PERIOD_NS

    def header(self, stamp_ns: int) -> Any:
        time = self.types.types["builtin_interfaces/msg/Time"]
        stamp = time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
        return self.types.types["std_msgs/msg/Header"](stamp=stamp, frame_id="lens")

    def raw(self, number: int, *, stamp_ns: int | None = None, **changes: Any) -> Message:
        pixels = changes.pop("pixels", picture(number))
        fields = {
            "header": self.header(self.stamp_ns(number) if stamp_ns is None else stamp_ns),
            "height": pixels.shape[0],
            "width": pixels.shape[1],
            "encoding": "rgb8",
            "is_bigendian": 0,
            "step": pixels.shape[1] * pixels.shape[2],
            "data": pixels.reshape(-1),
        }
        message = self.types.types["sensor_msgs/msg/Image"](**(fields | changes))
        return self.topic, self.stamp_ns(number), message

    def compressed(self, number: int) -> Message:
        data = cv2.imencode(".png", picture(number)[..., ::-1])[1].reshape(-1)
        message = self.types.types["sensor_msgs/msg/CompressedImage"](
            header=self.header(self.stamp_ns(number)), format="png", data=data
        )
        return self.topic, self.stamp_ns(number), message


@pytest.fixture
def camera() -> Camera:
    return Camera()


WriteBag = Callable[..., Path]


@pytest.fixture
def write_bag(tmp_path: Path) -> WriteBag:
    """Returns a function that writes messages to a new bag and returns its folder."""

    def write(
        messages: Iterable[Message],
        *,
        name: str = "bag",
        storage: StoragePlugin = StoragePlugin.MCAP,
        compression: CompressionMode = CompressionMode.NONE,
    ) -> Path:
        types, connections = known_types(), {}
        writer = Writer(tmp_path / name, version=8, storage_plugin=storage)
        writer.set_compression(compression, CompressionFormat.ZSTD)
        with writer:
            for topic, time_ns, message in messages:
                kind = message.__msgtype__
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, kind, typestore=types)
                writer.write(connections[topic], time_ns, types.serialize_cdr(message, kind))
        return tmp_path / name

    return write


def only_file(bag: Path) -> Path:
    """The storage file of a bag that has one."""
    (file,) = (each for each in bag.iterdir() if each.name != "metadata.yaml")
    return file


def cut(file: Path, share: float) -> None:
    """Keep the first part of a file."""
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
