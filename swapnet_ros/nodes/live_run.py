"""What a process that starts the nodes and listens to them waits for, and how that can fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from swapnet_ros.nodes.child_process import ChildProcess

EXIT_FAILED, EXIT_USAGE = 1, 2
_LOADING_LIMIT_S = 300.0


class LiveRunError(Exception):
    """A run with live nodes cannot go on.

    Attributes:
        exit_code: 1 where the measured thing failed, 2 for bad usage or input.
    """

    def __init__(self, message: str, *, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class LoadingMonitor(Protocol):
    """Knows which nodes are still loading, and what is wrong with them."""

    @property
    def is_ready(self) -> bool:
        """Whether all networks are loaded and their nodes take images."""

    @property
    def waiting_for(self) -> Sequence[str]:
        """The task nodes that do not take images yet."""

    @property
    def problems(self) -> Mapping[str, str]:
        """What task nodes report as an error at present, by their names."""


def wait_until_loaded(
    monitor: LoadingMonitor, spin: Callable[[], None], perception: ChildProcess
) -> None:
    """Wait for all networks; the time allowed begins anew with each one.

    Args:
        monitor: of the nodes.
        spin: serves the monitor for a moment, and raises where the process has ended.
        perception: the nodes' process.

    Raises:
        LiveRunError: a node reports an error, or nothing was loaded for minutes.
    """
    missing, deadline_s = monitor.waiting_for, time.monotonic() + _LOADING_LIMIT_S
    while not monitor.is_ready:
        spin()
        for name, problem in monitor.problems.items():
            # network, weights, labels or budget do not fit each other
            raise LiveRunError(f"{name}: {problem}", exit_code=EXIT_USAGE)
        if len(monitor.waiting_for) < len(missing):
            missing = monitor.waiting_for
            deadline_s = time.monotonic() + _LOADING_LIMIT_S
        if time.monotonic() > deadline_s:
            raise LiveRunError(
                f"{', '.join(missing)}: no network was loaded within "
                f"{_LOADING_LIMIT_S:.0f} s\n{perception.last_lines()}"
            )


def crash_of(child: ChildProcess) -> LiveRunError:
    """Say how a child process ended, and its last words."""
    usage = child.exit_code == EXIT_USAGE
    return LiveRunError(
        f"{child.name} ended with exit code {child.exit_code}:\n{child.last_lines()}",
        exit_code=EXIT_USAGE if usage else EXIT_FAILED,
    )
