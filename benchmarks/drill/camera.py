"""A camera process: publishes images of a folder at a rate, and writes down what it sent.

    python -m drill.camera --name steady --rate 10 --log steady.log --images '/data/*.jpg'

It ends with SIGINT or SIGTERM. Of every message one line is in the log before it is sent, so that a
killed camera leaves a complete one: time, stamp (both in nanoseconds since the epoch), and kind.
"""

from __future__ import annotations

import argparse
import glob
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from drill.troubles import Shot, Trouble

_IMAGES = 8
_SIZE = (1280, 720)


def load_images(pattern: str) -> list[NDArray[np.uint8]]:
    """Read images, evenly spread over all that a pattern finds; drawn ones without a pattern.

    Returns:
        At most 8 of uint8 [720, 1280, 3], BGR.
    """
    paths = sorted(glob.glob(pattern)) if pattern else []
    if pattern and not paths:
        sys.exit(f"camera: no file fits {pattern!r}; give a pattern such as '/data/*.jpg'")
    spread = np.linspace(0, len(paths) - 1, min(_IMAGES, len(paths))).round().astype(int)
    found = [cv2.imread(paths[each]) for each in spread] or _drawn()
    if any(image is None for image in found):
        sys.exit(f"camera: a file of {pattern!r} is no image that OpenCV reads")
    return [np.asarray(cv2.resize(image, _SIZE), np.uint8) for image in found]


def _drawn() -> list[NDArray[np.uint8]]:
    from swapnet_ros.evaluation.road_scene.scene import RoadScene

    scene = RoadScene()
    frames = (scene.frame(index) for index in range(0, scene.frame_count, 30))
    return [frame[..., ::-1] for frame in frames]


class Camera:
    """Publishes on the topic of its name until it is told to stop. For one thread."""

    def __init__(self, node: Any, options: argparse.Namespace) -> None:
        from std_msgs.msg import Header

        from swapnet_ros.nodes.images import encode_image
        from swapnet_ros.nodes.video_player import CAMERA_QOS

        self._node, self._rate_hz, self._trouble = node, options.rate, Trouble(options.trouble)
        header = Header(frame_id=options.name)
        self._good = [encode_image(image, header) for image in load_images(options.images)]
        for message in self._good:
            message.encoding = "bgr8"
        self._next_good = itertools.cycle(self._good)
        self._next_broken = itertools.cycle(broken_messages(header))
        self._stamp = node.get_clock().now()
        self._message = self._good[0]
        self._publisher = node.create_publisher(type(self._message), options.name, CAMERA_QOS)
        self._log = os.open(options.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def run(self, stop: threading.Event) -> None:
        """Send at the rate; moments that are missed are left out."""
        begin_s = time.monotonic()
        while not stop.is_set():
            index = round((time.monotonic() - begin_s) * self._rate_hz)
            self._send(self._trouble.shot(time.monotonic() - begin_s, index))
            stop.wait(max(0.0, begin_s + (index + 1) / self._rate_hz - time.monotonic()))
        os.close(self._log)

    def _send(self, shot: Shot) -> None:
        if shot is Shot.NOTHING:
            return
        if shot is not Shot.REPEATED:
            self._message = next(self._next_broken if shot is Shot.BROKEN else self._next_good)
            self._stamp = self._node.get_clock().now()
            self._message.header.stamp = self._stamp.to_msg()
        line = f"{time.time_ns()} {self._stamp.nanoseconds} {shot.value}\n"
        os.write(self._log, line.encode("ascii"))
        self._publisher.publish(self._message)


def broken_messages(header: Any) -> list[Any]:
    """Make images that no node can use, each in a way of its own."""
    from sensor_msgs.msg import Image

    facts = {"header": header, "width": 64, "height": 48, "encoding": "bgr8", "step": 192}
    data = bytes(64 * 48 * 3)
    return [
        Image(**facts, data=data[:-1000]),
        Image(**{**facts, "encoding": "rgb9"}, data=data),
        Image(**{**facts, "step": 64}, data=data),
        Image(**{**facts, "width": 0}, data=b""),
    ]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True, help="Topic and frame_id.")
    parser.add_argument("--rate", type=float, required=True, help="Images per second.")
    parser.add_argument("--trouble", default="none", choices=[each.value for each in Trouble])
    parser.add_argument("--images", default="", help="Pattern of files; empty: a drawn road.")
    parser.add_argument("--log", type=Path, required=True, help="What was sent is added to it.")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Be a camera until a signal comes."""
    options = _parse(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    import rclpy  # after the handlers: a signal during the imports ends the camera in peace, too
    from rclpy.signals import SignalHandlerOptions

    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(f"camera_{options.name}", enable_rosout=False)
    try:
        Camera(node, options).run(stop)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
