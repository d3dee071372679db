"""Ctrl-C between frames: asked once, the frame in hand is finished."""

from __future__ import annotations

import signal
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Notes Ctrl-C and SIGTERM while it is entered; a second one ends the process as usual.

    For the main thread, which alone may set signal handlers.
    """

    def __init__(self) -> None:
        self.is_made = False
        self._before: dict[signal.Signals, object] = {}

    def __repr__(self) -> str:
        return f"<StopRequest {'made' if self.is_made else 'not made'}>"

    def __enter__(self) -> StopRequest:
        self._before = {each: signal.signal(each, self._note) for each in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.is_made = True
        self._restore()

    def _restore(self) -> None:
        before, self._before = self._before, {}
        for each, handler in before.items():
            signal.signal(each, handler)  # type: ignore[arg-type]
