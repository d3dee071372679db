"""The cameras of a process: one subscription per topic, one decoding per image.

[Note: who owns an image]
Nobody keeps a table of decoded images. A `CameraFrame` holds its image and is itself held by the
tasks for which it waits or that work on it; with the last of them it is gone. So memory is bounded
by the number of tasks, without a cache to keep small.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from swapnet_ros.nodes.hosted_nodes import CAMERAS_NODE
from swapnet_ros.nodes.images import RgbImage, decode_image
from swapnet_ros.perception.errors import ImageMessageError

# A slow network is better served with the newest frame than with a lost one sent again.
IMAGE_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)

ImageMessage = Image | CompressedImage


class CameraFrame:
    """One image of one camera, shared by all tasks that use it. Any thread may call anything.

    Attributes:
        topic: where it came from, fully qualified.
        header: the message's header.
        arrived_s: `time.monotonic()` at its arrival.
    """

    def __init__(self, topic: str, message: ImageMessage, *, arrived_s: float) -> None:
        self.topic = topic
        self.header: Header = message.header
        self.arrived_s = arrived_s
        self._message: ImageMessage | None = message
        self._image: RgbImage | None = None
        self._problem = ""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        stamp = self.header.stamp
        return f"<CameraFrame {self.topic} {stamp.sec}.{stamp.nanosec:09d}>"

    @property
    def is_decoded(self) -> bool:
        """Whether some task has asked for the image."""
        return self._message is None

    def image(self) -> RgbImage:
        """The image, uint8 [height, width, 3], RGB, read-only; decoded at the first call.

        Raises:
            ImageMessageError: the message does not hold a usable image.
        """
        with self._lock:
            if self._message is not None:
                message, self._message = self._message, None
                try:
                    # a view of its own: what is read-only here may be writable for others
                    self._image = decode_image(message)[:]
                    self._image.flags.writeable = False
                except ImageMessageError as error:
                    self._problem = str(error)
            if self._image is None:
                raise ImageMessageError(self._problem)
            return self._image


@dataclass(slots=True, kw_only=True)
class _Camera:
    subscription: Any = None
    takers: list[Callable[[CameraFrame], None]] = field(default_factory=list)


class CameraHub(Node):
    """Subscribes to image topics for the tasks of a process.

    `watch` and `unwatch` may be called by any thread; images come on the thread that spins the
    node. Topics are taken as given: remapping is up to the nodes that know what a topic means.
    """

    def __init__(self, *, context: Context | None = None, namespace: str = "") -> None:
        super().__init__(
            CAMERAS_NODE,
            context=context,
            namespace=namespace,
            use_global_arguments=False,
            enable_rosout=False,
            start_parameter_services=False,
        )
        self._lock = threading.Lock()
        self._cameras: dict[tuple[str, type], _Camera] = {}

    def __repr__(self) -> str:
        with self._lock:
            watched = (f"{topic} by {len(c.takers)}" for (topic, _), c in self._cameras.items())
            return f"<CameraHub {', '.join(watched) or 'idle'}>"

    def watch(self, topic: str, kind: type, take: Callable[[CameraFrame], None]) -> None:
        """Pass the images of a topic on.

        Args:
            topic: fully qualified name.
            kind: `Image` or `CompressedImage`.
            take: called with each frame; hands it over and returns at once.
        """
        with self._lock:
            camera = self._cameras.setdefault((topic, kind), _Camera())
            camera.takers.append(take)
            if camera.subscription is None:
                on_image = partial(self._pass_on, topic, kind)
                camera.subscription = self.create_subscription(kind, topic, on_image, IMAGE_QOS)

    def unwatch(self, topic: str, kind: type, take: Callable[[CameraFrame], None]) -> None:
        """End what `watch` began; `take` is not called any more once this returns."""
        with self._lock:
            camera = self._cameras[topic, kind]
            camera.takers.remove(take)
            if not camera.takers:
                del self._cameras[topic, kind]
                self.destroy_subscription(camera.subscription)

    def _pass_on(self, topic: str, kind: type, message: ImageMessage) -> None:
        frame = CameraFrame(topic, message, arrived_s=time.monotonic())
        with self._lock:
            camera = self._cameras.get((topic, kind))
            for take in camera.takers if camera else ():
                take(frame)
