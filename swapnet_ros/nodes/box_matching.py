"""Images and a detector's boxes, which come apart, brought together by their stamps.

[Note: which images wait]
A detector answers late, and skips most images of a fast camera; which ones it takes nobody says.
Keeping all images until the answer comes would take 30 of them for each second of its latency. But
tasks of one process share their images, and a detector here has decoded the one that it works on:
so where room is needed, images that nobody has decoded go first.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from std_msgs.msg import Header

from swapnet_ros.msg import DetectionArray
from swapnet_ros.nodes.cameras import CameraFrame
from swapnet_ros.nodes.frames import Frame

EARLY_LIMIT = 16  # detections that may wait for an image on a slower way

_Key = tuple[str, int, int]


class BoxMatcher:
    """Pairs images with the detections that have their stamp and `frame_id`.

    Any thread may call anything; nothing waits.
    """

    def __init__(
        self,
        offer: Callable[[Frame], None],
        *,
        limit: int,
        wait_s: Callable[[], float],
    ) -> None:
        """Begin with nothing.

        Args:
            offer: called with each image and its detections; returns at once.
            limit: images that may wait for their detections.
            wait_s: longest time that an image waits, in seconds.
        """
        self._offer = offer
        self._limit = limit
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._frames: OrderedDict[_Key, CameraFrame] = OrderedDict()
        self._early: OrderedDict[_Key, DetectionArray] = OrderedDict()
        self._dropped = 0
        self._is_closed = False

    def __repr__(self) -> str:
        with self._lock:
            return f"<BoxMatcher {len(self._frames)} waiting, {self._dropped} dropped>"

    @property
    def dropped(self) -> int:
        """Images for which no detections came in time."""
        with self._lock:
            return self._dropped

    def put_frame(self, frame: CameraFrame) -> None:
        """An image has come."""
        key = _key(frame.header)
        with self._lock:
            detections = self._early.pop(key, None)
            if detections is None:
                self._keep(key, frame)
                return
        self._offer(Frame(camera=frame, detections=detections))

    def put_detections(self, detections: DetectionArray) -> None:
        """Detections have come."""
        key = _key(detections.header)
        with self._lock:
            self._drop_outdated()
            frame = self._frames.pop(key, None)
            if frame is None:
                self._early[key] = detections
                if len(self._early) > EARLY_LIMIT:
                    self._early.popitem(last=False)
                return
        self._offer(Frame(camera=frame, detections=detections))

    def close(self) -> None:
        """Drop what waits, and all that still comes."""
        with self._lock:
            self._is_closed = True
            self._dropped += len(self._frames)
            self._frames.clear()
            self._early.clear()

    def _keep(self, key: _Key, frame: CameraFrame) -> None:
        self._drop_outdated()
        if self._is_closed:
            self._dropped += 1
            return
        self._dropped += key in self._frames  # a camera without stamps: the newest counts
        self._frames[key] = frame
        if len(self._frames) > self._limit:
            del self._frames[self._least_wanted()]
            self._dropped += 1

    def _least_wanted(self) -> _Key:
        """The oldest image that nobody has decoded, except for the newest; else the oldest."""
        *older, _ = self._frames
        undecoded = (key for key in older if not self._frames[key].is_decoded)
        return next(undecoded, older[0])

    def _drop_outdated(self) -> None:
        earliest_s = time.monotonic() - self._wait_s()
        outdated = [key for key, frame in self._frames.items() if frame.arrived_s < earliest_s]
        for key in outdated:
            del self._frames[key]
        self._dropped += len(outdated)


def _key(header: Header) -> _Key:
    return header.frame_id, header.stamp.sec, header.stamp.nanosec
