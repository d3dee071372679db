"""The cameras of a drill, and what goes wrong with them: always the same, over and over again.

Pure: no clock, no process, no ROS.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

CYCLE_S = 30.0
_STUCK_S = (10.0, 16.0)  # the same image with the same stamp again and again
_SILENT_S = (16.0, 23.0)  # longer than the nodes' diagnostics wait before they name the camera
_BROKEN_EVERY = 5


class Shot(enum.Enum):
    """What a camera sends at one of its moments."""

    FRESH = "fresh"
    REPEATED = "repeated"
    BROKEN = "broken"
    NOTHING = "nothing"


class Trouble(enum.Enum):
    """What is wrong with a camera by itself; others are killed and restarted from outside."""

    NONE = "none"
    STUCK = "stuck"
    BROKEN = "broken"

    def shot(self, running_s: float, index: int) -> Shot:
        """Say what the camera sends.

        Args:
            running_s: since the camera started.
            index: of the moment, counted from 0.
        """
        if self is Trouble.STUCK:
            in_cycle_s = running_s % CYCLE_S
            if _STUCK_S[0] <= in_cycle_s < _STUCK_S[1]:
                return Shot.REPEATED
            if _SILENT_S[0] <= in_cycle_s < _SILENT_S[1]:
                return Shot.NOTHING
        if self is Trouble.BROKEN and index % _BROKEN_EVERY == _BROKEN_EVERY - 1:
            return Shot.BROKEN
        return Shot.FRESH


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSpec:
    """One camera of a drill; its name is its topic and its `frame_id`."""

    name: str
    rate_hz: float
    trouble: Trouble = Trouble.NONE
    story: str


CAMERAS = (
    CameraSpec(name="steady", rate_hz=10.0, story="nothing is wrong with it"),
    CameraSpec(name="fast", rate_hz=60.0, story="60 Hz; ended and started again at 15 s"),
    CameraSpec(name="killed", rate_hz=10.0, story="SIGKILL at 5 s, a new process at 12 s"),
    CameraSpec(
        name="stuck",
        rate_hz=10.0,
        trouble=Trouble.STUCK,
        story="one image with one stamp from 10 s to 16 s, then silent to 23 s",
    ),
    CameraSpec(
        name="broken",
        rate_hz=10.0,
        trouble=Trouble.BROKEN,
        story=f"one image of {_BROKEN_EVERY} cannot be used: too little data, unknown encoding, "
        "rows too short, no pixels",
    ),
)
SILENT_CAMERAS = ("killed", "stuck")


class Act(enum.Enum):
    """What is done to a camera's process."""

    KILL = "kill"
    START = "start"
    RESTART = "restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Something to do to a camera's process, `due_s` after the drill's beginning."""

    due_s: float
    camera: str
    act: Act


_ORDERS = (
    Order(due_s=5.0, camera="killed", act=Act.KILL),
    Order(due_s=12.0, camera="killed", act=Act.START),
    Order(due_s=15.0, camera="fast", act=Act.RESTART),
)


def orders(duration_s: float) -> Iterator[Order]:
    """Yield what is to be done to the cameras until the end, in order of time."""
    begin_s = 0.0
    while True:
        for order in _ORDERS:
            due_s = begin_s + order.due_s
            if due_s >= duration_s:
                return
            yield Order(due_s=due_s, camera=order.camera, act=order.act)
        begin_s += CYCLE_S
