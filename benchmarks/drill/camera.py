"""A camera process: publishes pictures at a rate, and writes down what it sent.

    python -m drill.camera --name steady --rate 10 --pictures pictures.npy --log steady.log

It ends with SIGINT or SIGTERM. Of every message one line is in the log before it is sent, so that a
killed camera leaves a complete one: time, stamp (both in nanoseconds since the epoch), and kind. It
imports no more than it needs: a camera that comes back should be there soon.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import threading
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drill.troubles import Shot, Trouble


class Camera:
    """Publishes on the topic of its name until it is told to stop. For one thread."""

    def __init__(self, node: Any, options: argparse.Namespace) -> None:
        from rclpy.qos import QoSProfile, ReliabilityPolicy
        from sensor_msgs.msg import Image
        from std_msgs.msg import Header

        self._node, self._rate_hz, self._trouble = node, options.rate, Trouble(options.trouble)
        header = Header(frame_id=options.name)
        good = [good_message(header, picture) for picture in np.load(options.pictures)]
        self._message, self._stamp = good[0], node.get_clock().now()
        self._next_good = itertools.cycle(good)
        self._next_broken = itertools.cycle(broken_messages(header))
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._publisher = node.create_publisher(Image, options.name, qos)
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


def good_message(header: Any, picture: np.ndarray) -> Any:
    """Make a message of a picture, uint8 [height, width, 3], BGR."""
    from sensor_msgs.msg import Image

    height, width = picture.shape[:2]
    message = Image(header=header, width=width, height=height, encoding="bgr8", step=width * 3)
    pixels = array("B")
    pixels.frombytes(picture.tobytes())  # any other way copies value by value
    message.data = pixels
    return message


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
    parser.add_argument("--pictures", type=Path, required=True, help="Of drill/pictures.py.")
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
