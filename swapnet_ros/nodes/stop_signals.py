"""SIGINT and SIGTERM: the first one asks a process to end, a second one ends it the hard way."""

from __future__ import annotations

import signal
import threading
import time

# `ros2 launch` without a terminal, and `timeout`, pass on a signal that the whole process group has
# got already: what comes so soon after the first one is the same one.
ECHO_S = 0.5


class StopSignals:
    """Takes the signals from its creation on. For the main thread."""

    def __init__(self) -> None:
        """Begin to take signals."""
        self._first: int | None = None
        self._stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def __repr__(self) -> str:
        return f"<StopSignals {'waiting' if self._first is None else f'got {self._first}'}>"

    def wait(self) -> None:
        """Return soon after the first signal; another one of the same number ends the process."""
        self._stop.wait()
        time.sleep(ECHO_S)
        signal.signal(self._first, signal.SIG_DFL)

    def _on_signal(self, number: int, _: object) -> None:
        """Note the first signal; one of the other number, such as launch's SIGTERM, is let pass."""
        if self._first is None:
            self._first = number
            signal.signal(number, signal.SIG_IGN)
            self._stop.set()
        else:
            signal.signal(number, signal.SIG_DFL)
