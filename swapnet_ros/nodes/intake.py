"""The way of images into a task node: from its cameras to its worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from swapnet_ros.nodes.cameras import CameraFrame, CameraHub


class CameraIntake:
    """Watches a task's cameras and tells when each of them sent its last image.

    `open` and `close` belong to the owner's thread; any thread may ask for ages.
    """

    def __init__(
        self,
        hub: CameraHub,
        topics: Sequence[str],
        *,
        kind: type,
        take: Callable[[CameraFrame], None],
    ) -> None:
        """Prepare; `open` begins.

        Args:
            hub: where the images come from.
            topics: fully qualified names, without duplicates.
            kind: `Image` or `CompressedImage`.
            take: called with each frame, on the hub's thread; hands it over and returns at once.
        """
        self._hub = hub
        self._kind = kind
        self._take = take
        now_s = time.monotonic()
        self._last_s = dict.fromkeys(topics, now_s)
        self._watched: list[str] = []

    def __repr__(self) -> str:
        return f"<CameraIntake of {', '.join(self._last_s)}>"

    def open(self) -> None:
        """Begin to take images."""
        for topic in self._last_s:
            self._hub.watch(topic, self._kind, self._on_frame)
            self._watched.append(topic)

    def close(self) -> None:
        """Take no more images; idempotent."""
        while self._watched:
            self._hub.unwatch(self._watched.pop(), self._kind, self._on_frame)

    def ages_s(self) -> Mapping[str, float]:
        """Seconds since each camera's last image, or since `open`."""
        now_s = time.monotonic()
        return {topic: now_s - last_s for topic, last_s in self._last_s.items()}

    def _on_frame(self, frame: CameraFrame) -> None:
        self._last_s[frame.topic] = frame.arrived_s
        self._take(frame)
