"""The camera processes of a measurement: started, killed, restarted, and ended in any case."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from drill.pictures import save_pictures
from drill.troubles import Act, CameraSpec, Order
from swapnet_ros.nodes.child_process import ChildProcess

_BENCHMARKS = Path(__file__).resolve().parents[1]


class CameraCrew(AbstractContextManager["CameraCrew"]):
    """Runs one process per camera. For one thread.

    Attributes:
        kills: processes ended by SIGKILL.
        returns_ns: when each camera got a new process in place of an earlier one, by camera.
    """

    def __init__(self, cameras: Sequence[CameraSpec], *, images: str, out: Path) -> None:
        """Make what the cameras show; `start` starts them.

        Args:
            cameras: which.
            images: pattern of the image files; empty for a drawn road.
            out: folder for the logs, of which older ones are removed.

        Raises:
            ScenarioError: there are no such images.
        """
        self.kills = 0
        self.returns_ns: dict[str, list[int]] = {}
        self._cameras = {camera.name: camera for camera in cameras}
        self._out = out
        self._pictures = out / "pictures.npy"
        save_pictures(self._pictures, images)
        self._running: dict[str, ChildProcess] = {}
        for camera in cameras:
            self.sent_log(camera.name).unlink(missing_ok=True)

    def __repr__(self) -> str:
        return f"<CameraCrew {', '.join(self._running) or 'idle'}>"

    def sent_log(self, name: str) -> Path:
        """The file in which a camera writes down what it sends."""
        return self._out / f"sent_{name}.log"

    def start(self) -> None:
        """Start all cameras."""
        for name in self._cameras:
            self._start(name)

    def obey(self, order: Order) -> None:
        """Do to a camera's process what an order says."""
        child = self._running.get(order.camera)
        if order.act is Act.KILL and child is not None:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            self.kills += 1
        elif child is not None:
            child.stop()
            self._start(order.camera)
            self.returns_ns.setdefault(order.camera, []).append(time.time_ns())

    def ended(self) -> list[str]:
        """Names of the cameras whose process ended on its own account."""
        expected = (None, -signal.SIGKILL)
        return [name for name, child in self._running.items() if child.exit_code not in expected]

    def stop(self) -> None:
        """End all cameras. Idempotent."""
        while self._running:
            self._running.popitem()[1].stop()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self, name: str) -> None:
        camera = self._cameras[name]
        # fmt: off
        command = [
            sys.executable, "-m", "drill.camera", "--name", name, "--rate", str(camera.rate_hz),
            "--trouble", camera.trouble.value, "--pictures", str(self._pictures),
            "--log", str(self.sent_log(name)),
        ]
        # fmt: on
        log = self._out / f"camera_{name}.log"
        self._running[name] = ChildProcess(f"camera {name}", command, log=log, folder=_BENCHMARKS)
