"""How soon the threads that read get a processor.

[Note: reads go first]
Where compute uses every core, a thread whose read is done waits until the scheduler takes a core
from compute, and meanwhile nothing is read: `benchmarks/read_priority.py` tells for how long. With
a real-time priority it gets the core at once, asks for the next request and sleeps again. The
lowest one is above every ordinary thread and below all that a robot's control loops may have. It
needs rights that ordinary users have where someone gave them (RLIMIT_RTPRIO).

Where compute leaves a processor to others, it is better not to have one. The scheduler wakes an
ordinary thread on a processor that is idle, but one in real time where it ran last, if only
ordinary threads run there: so it interrupts compute while a processor has nothing to do.

Threads that are in real time already keep their priority, and threads of a process that was told
to stand back (`nice`, `chrt --batch`, `chrt --idle`) keep that.
"""

from __future__ import annotations

import logging
import os
import threading

import torch

from swapnet_core.errors import InputError

LOWEST = 1
HIGHEST = 99

_LOG = logging.getLogger(__name__)
_REAL_TIME = (os.SCHED_FIFO, os.SCHED_RR)
_REMEDY = (
    "allow it by `--ulimit rtprio=1` (docker), `LimitRTPRIO=1` (systemd) or an `rtprio` line in "
    "/etc/security/limits.conf; read_priority=0 asks for none"
)


def require_priority(wanted: int) -> None:
    """Refuse what is no priority; 0 is for none.

    Raises:
        InputError: saying what is possible.
    """
    if not 0 <= wanted <= HIGHEST:
        raise InputError(
            f"a read_priority of {wanted} is not possible: real-time priorities are "
            f"{LOWEST} to {HIGHEST}, and 0 is for none"
        )


def leaves_a_processor() -> bool:
    """Tell whether torch computes on fewer threads than this process has processors, now."""
    return torch.get_num_threads() < len(os.sched_getaffinity(0))


def allowed_priority(wanted: int) -> int:
    """Find out which priority reading threads will have in this process.

    Args:
        wanted: real-time priority; 0: none.

    Returns:
        The same, or 0 where that is not allowed, which is logged; where all threads of the process
        are in real time, theirs.
    """
    found: list[int] = []
    trial = threading.Thread(target=lambda: found.append(raise_priority(wanted)))
    trial.start()
    trial.join()
    if wanted and not found[0]:
        _LOG.info("reads have no real-time priority here, and may wait for compute; %s", _REMEDY)
    return found[0]


def raise_priority(wanted: int) -> int:
    """Give the calling thread a real-time priority, where that is allowed.

    Args:
        wanted: 0: none.

    Returns:
        The real-time priority that it has now; 0 where it has none.
    """
    policy = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
    if policy in _REAL_TIME:
        return os.sched_getparam(0).sched_priority
    stands_back = policy != os.SCHED_OTHER or os.getpriority(os.PRIO_PROCESS, 0) > 0
    if not wanted or stands_back:
        return 0
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(wanted))
    except OSError:  # no right to it, or none to real time in this control group
        return 0
    return wanted
