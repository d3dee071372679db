"""One device, one inference at a time: jobs by priority, then by earliest deadline."""

from __future__ import annotations

import heapq
import itertools
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from swapnet_core.errors import DeadlineMissedError, RuntimeClosedError

T = TypeVar("T")
_EXCLUSIVE_PRIORITY = 2**31


class Scheduler:
    """Runs jobs on the thread `swapnet-infer`. Any thread may submit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._jobs: list[tuple[int, float, int, Callable[[], Any], Future[Any]]] = []
        self._numbers = itertools.count()
        self._is_open = True
        self._thread = threading.Thread(target=self._serve, name="swapnet-infer", daemon=True)
        self._thread.start()

    def submit(
        self, run: Callable[[], T], *, priority: int = 0, deadline_s: float | None = None
    ) -> Future[T]:
        """Queue a job.

        Args:
            run: the job.
            priority: higher ones run first.
            deadline_s: seconds from now by which it must have started; later it is not run, and
                its future raises `DeadlineMissedError`.

        Raises:
            RuntimeClosedError: the scheduler is closed.
        """
        future: Future[T] = Future()
        deadline = math.inf if deadline_s is None else time.monotonic() + deadline_s
        with self._lock:
            if not self._is_open:
                raise RuntimeClosedError("the runtime is closed")
            heapq.heappush(self._jobs, (-priority, deadline, next(self._numbers), run, future))
            self._work.notify()
        return future

    def run(self, run: Callable[[], T], *, priority: int = 0) -> T:
        """Run a job and wait for it; at once where the caller is the inference thread itself."""
        if threading.current_thread() is self._thread:
            return run()
        return self.submit(run, priority=priority).result()

    def run_exclusive(self, run: Callable[[], T]) -> T:
        """Run something between jobs, before all that are queued."""
        return self.run(run, priority=_EXCLUSIVE_PRIORITY)

    def close(self) -> None:
        """Finish the present job; cancel the queued ones. Idempotent."""
        with self._lock:
            self._is_open = False
            jobs, self._jobs = self._jobs, []
            self._work.notify_all()
        for *_, future in jobs:
            if future.set_running_or_notify_cancel():
                future.set_exception(RuntimeClosedError("the runtime was closed before the job"))
        self._thread.join()

    def _serve(self) -> None:
        while True:
            with self._lock:
                while not self._jobs and self._is_open:
                    self._work.wait()
                if not self._jobs:
                    return
                _, deadline, _, run, future = heapq.heappop(self._jobs)
            _settle(run, future, deadline)
            del run, future  # do not keep the last result alive while waiting

    def __repr__(self) -> str:
        with self._lock:
            return f"<Scheduler {len(self._jobs)} jobs queued>"


def _settle(run: Callable[[], Any], future: Future[Any], deadline: float) -> None:
    """Run one job; its future learns of everything that is raised."""
    if not future.set_running_or_notify_cancel():
        return
    late_s = time.monotonic() - deadline
    if late_s > 0:
        message = f"the deadline passed {late_s:.3f} s before the job could start"
        future.set_exception(DeadlineMissedError(message, late_s=late_s))
        return
    try:
        result = run()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
